"""From an ONNX file to an HLS project; runs in a confined child.

The project is the same on every day and machine: hls4ml's random stamp and its record with the folder's
path are replaced. ``headland_weights.h`` lets the emulation read its weights from a folder named later, so
that compiling takes no longer for more weights.
"""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import hls4ml
import onnx

from cloud_hub.images.fpga.graph import GraphRefusedError, Prepared, prepare

NAME: Final = "model"
RECORD: Final = "headland.json"
STAMP: Final = "emulation"
SOFTMAX_TABLE: Final = 4096
WEIGHTS_H: Final = 'extern "C" const char *headland_weights_dir();\n'
WEIGHTS_CPP: Final = """#include "headland_weights.h"
#include <string>

static std::string folder = "firmware/weights";

extern "C" const char *headland_weights_dir() { return folder.c_str(); }
extern "C" void headland_weights(const char *path) { folder = path; }
"""
# Nothing of the static C++ library may meet that of numpy or onnxruntime in the same process.
EXPORTS: Final = "{ global: model_double; headland_weights; local: *; };\n"


def confined(request: dict[str, Any]) -> dict[str, Any]:
    """Write the project below ``request["folder"]``; answers its ports, or what was refused."""
    os.chdir(request["folder"])
    try:
        prepared = prepare(onnx.load(request["model"]))
        return _convert(prepared, request)
    except GraphRefusedError as error:
        return {"refused": {"what": error.what, "where": error.where, "fix": error.fix}}


def _convert(prepared: Prepared, request: dict[str, Any]) -> dict[str, Any]:
    try:
        settings = hls4ml.utils.config_from_onnx_model(
            prepared.model,
            granularity="name",
            backend="Vivado",
            default_precision=request["precision"],
            default_reuse_factor=request["reuse_factor"],
        )
        settings["Model"]["Strategy"] = request["strategy"]
        _narrow_softmax(prepared.model.graph, settings["LayerName"], request["precision"])
        project = hls4ml.converters.convert_from_onnx_model(
            prepared.model,
            output_dir="project",
            project_name=NAME,
            backend="Vivado",
            io_type=request["io_type"],
            hls_config=settings,
        )
        project.write()
    except MemoryError:
        raise
    except Exception as error:  # whatever it is, the library's words are all there is to say
        said = " ".join(str(error).split())[:300]
        raise GraphRefusedError(
            f"hls4ml does not convert it: {said}", "model", "Simplify the model, or choose other options."
        ) from error
    inputs, outputs = list(project.get_input_variables()), list(project.get_output_variables())
    ports = {
        "inputs": [{"name": p.name, "shape": p.shape} for p in prepared.inputs],
        "outputs": [{"name": p.name, "shape": p.shape} for p in prepared.outputs],
    }
    if [len(inputs), len(outputs)] != [len(prepared.inputs), len(prepared.outputs)]:
        raise GraphRefusedError(
            "hls4ml gives other inputs or outputs than the model has", "model", "Simplify the model."
        )
    _finish(Path("project"), project.config.get_config_value("Stamp"), ports, request)
    return ports


def _narrow_softmax(graph: onnx.GraphProto, layers: dict[str, Any], precision: str) -> None:
    """Keep what goes into a softmax in the chosen type, and give it a larger table.

    Its table is addressed by the upper bits of its input: of the wide sums that hls4ml would hand over, all
    values of a usual model have the same ones, and every class would be as likely as the other.
    """
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type != "Softmax":
            continue
        layers[node.name]["TableSize"] = SOFTMAX_TABLE
        before = makers.get(node.input[0])
        while before is not None:
            layers[before.name]["Precision"]["result"] = precision
            # The product and the sum of a layer become one; its type is taken from the product.
            before = makers.get(before.input[0]) if before.op_type == "Add" else None


def _finish(project: Path, stamp: str, ports: dict[str, Any], request: dict[str, Any]) -> None:
    """Take out what is of this day and machine, and add what the emulation needs."""
    (project / "hls4ml_config.yml").unlink()
    script = project / "build_lib.sh"
    script.write_text(script.read_text().replace(stamp, STAMP))
    (project / "headland_weights.h").write_text(WEIGHTS_H)
    (project / "headland_weights.cpp").write_text(WEIGHTS_CPP)
    (project / "headland.map").write_text(EXPORTS)
    chosen = {key: request[key] for key in ("precision", "reuse_factor", "io_type", "strategy")}
    weights = sorted(path.name for path in (project / "firmware" / "weights").glob("*.txt"))
    record = {"weights": weights, "format": "headland.fpga/1", "hls4ml": version("hls4ml"), **chosen, **ports}
    (project / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
