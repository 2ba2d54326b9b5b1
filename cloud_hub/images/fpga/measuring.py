"""Runs an emulation beside the float model; in a confined child, for the emulation is compiled code.

It loads the scoring script that goes into the image, so that what is measured is what will run.
"""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

Array = NDArray[Any]
MOST_ROWS: Final = 10_000
RANDOM_ROWS: Final = 1_000
SEED: Final = 0


class DataRefusedError(Exception):
    """The data set does not fit; the message says why."""


class ReferenceModel:
    """The float model in onnx's own evaluator: for a hub that has no onnxruntime."""

    def __init__(self, file: Path) -> None:
        model = onnx.load(file)
        self._evaluator = ReferenceEvaluator(model)
        self._types = {
            one.name: onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)
            for one in model.graph.input
        }

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Return all outputs by name."""
        typed = {name: feeds[name].astype(kind) for name, kind in self._types.items() if name in feeds}
        values = self._evaluator.run(None, typed)
        return dict(zip(self._evaluator.output_names, map(np.asarray, values), strict=True))


def confined(request: dict[str, Any]) -> dict[str, Any]:
    """Measure the emulation in ``request["folder"]``; answers figures, or why the data was refused."""
    script = _load(Path(request["script"]))
    emulation = script.Emulation(Path(request["folder"]))
    ports = {port.name: port.shape for port in emulation.inputs}
    try:
        within = _fitting(ports, request["ranges"])
        feeds = _read(request["data"], ports) if request["data"] else _random(ports, within)
    except DataRefusedError as error:
        return {"refused": str(error)}
    runtime, model = _float_model(script, Path(request["model"]))
    exact, fixed = model.run(feeds), emulation.run(feeds)
    outputs = []
    for port in emulation.outputs:
        wanted = np.asarray(exact[port.name]).reshape(fixed[port.name].shape)
        found = script.difference(wanted, fixed[port.name])
        span = {"float_min": float(wanted.min()), "float_max": float(wanted.max())}
        figures = {name: _short(value) for name, value in (found | span).items()}
        outputs.append({"name": port.name, "shape": port.shape, **figures})
    rows = len(next(iter(feeds.values())))
    kind = "file" if request["data"] else "ranges" if within else "unit"
    return {
        "inputs": kind,
        "rows": rows,
        "float_runtime": runtime,
        "precision": emulation.precision,
        "outputs": outputs,
    }


def _short(value: Any) -> Any:  # noqa: ANN401  a figure, or None
    """Four digits: beyond them float arithmetic differs between processors, and with it the image."""
    return float(f"{value:.3e}") if isinstance(value, float) else value


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("headland_score", file)
    if spec is None or spec.loader is None:
        raise ImportError(file.name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _float_model(script: ModuleType, file: Path) -> tuple[str, Any]:
    if importlib.util.find_spec("onnxruntime") is None:
        return f"onnx {onnx.__version__}", ReferenceModel(file)
    import onnxruntime  # noqa: PLC0415  optional on a hub

    return f"onnxruntime {onnxruntime.__version__}", script.FloatModel(file)


def _fitting(ports: dict[str, tuple[int, ...]], ranges: list[list[float]] | None) -> list[list[float]] | None:
    """Return the ranges where they are those of the one input's numbers."""
    sizes = [math.prod(shape) for shape in ports.values()]
    return ranges if ranges and sizes == [len(ranges)] else None


def _random(ports: dict[str, tuple[int, ...]], ranges: list[list[float]] | None) -> dict[str, Array]:
    generator = np.random.default_rng(SEED)
    feeds = {}
    for name, shape in ports.items():
        low, high = np.asarray(ranges).T if ranges else np.array([[-1.0], [1.0]])
        flat = generator.uniform(low, high, (RANDOM_ROWS, math.prod(shape)))
        feeds[name] = flat.astype(np.float32).astype(np.float64).reshape(-1, *shape)
    return feeds


def _read(file: str, ports: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            names = archive.files
            if len(ports) == 1 and len(names) == 1:
                given = {next(iter(ports)): archive[names[0]]}
            else:
                given = {name: archive[name] for name in ports if name in names}
    except (ValueError, OSError, KeyError, TypeError, EOFError) as error:
        raise DataRefusedError("it is not an .npz file of plain arrays") from error
    feeds = {}
    for name, shape in ports.items():
        if name not in given:
            raise DataRefusedError(f"it has no array for the input {name}")
        feeds[name] = _rows(name, given[name], shape)
    if len({len(array) for array in feeds.values()}) != 1:
        raise DataRefusedError("its arrays differ in rows")
    return feeds


def _rows(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    if array.ndim < 2 or not len(array) or math.prod(array.shape[1:]) != math.prod(shape):
        raise DataRefusedError(f"the array for the input {name} is not rows of shape {list(shape)}")
    if array.dtype.kind not in "fiub":
        raise DataRefusedError(f"the array for the input {name} has no numbers")
    # What the float model is given has the precision of its input.
    numbers = array[:MOST_ROWS].astype(np.float32).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise DataRefusedError(f"the array for the input {name} has values that are not finite")
    return numbers.reshape(-1, *shape)
