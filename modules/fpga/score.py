"""A scoring script: answers with the fixed-point emulation, and tells how far it is from the float model.

The model's folder has the ONNX file and ``fpga/``: ``emulation.so``, ``headland.json`` with the inputs and
outputs, ``weights/``, and ``agreement.json`` as it was measured when the image was built.
``FPGA_COMPARE`` is the part of the requests, 0 to 1, that the float model answers too.
"""

import ctypes
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
COMPARE: Final = "FPGA_COMPARE"


@dataclass(frozen=True)
class Port:
    """An input or output: its name, and its shape without the batch."""

    name: str
    shape: tuple[int, ...]


class Emulation:
    """The compiled HLS code in ``folder``; raises `OSError` where a file is missing or does not load."""

    def __init__(self, folder: Path) -> None:
        record = json.loads((folder / "headland.json").read_text())
        self.precision: str = record["precision"]
        self.inputs = tuple(Port(p["name"], tuple(p["shape"])) for p in record["inputs"])
        self.outputs = tuple(Port(p["name"], tuple(p["shape"])) for p in record["outputs"])
        # The code ends the process where a file of weights is missing.
        for name in record["weights"]:
            if not (folder / "weights" / name).is_file():
                raise FileNotFoundError(f"the emulation's weights/{name} is missing")
        self._library = ctypes.CDLL(str(folder / "emulation.so"))
        self._library.headland_weights(os.fsencode(folder / "weights"))
        self._top = self._library.model_double
        self._top.restype = None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs, float64 ``[rows, *shape]``; each value is exactly a fixed-point number."""
        arrays = [np.ascontiguousarray(feeds[port.name], np.float64) for port in self.inputs]
        rows = len(arrays[0])
        results = [np.zeros((rows, *port.shape), np.float64) for port in self.outputs]
        for row in range(rows):
            self._top(*(ctypes.c_void_p(array[row].ctypes.data) for array in (*arrays, *results)))
        return {port.name: result for port, result in zip(self.outputs, results, strict=True)}


class Runs(Protocol):
    """A model that answers in floats."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name."""


class FloatModel:
    """The float model in onnxruntime, on one thread."""

    def __init__(self, file: Path) -> None:
        import onnxruntime  # noqa: PLC0415  not needed where nothing is compared

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._types = {
            one.name: np.float64 if one.type == "tensor(double)" else np.float32
            for one in self._session.get_inputs()
        }
        self._names = [one.name for one in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name."""
        typed = {name: feeds[name].astype(kind) for name, kind in self._types.items()}
        return dict(zip(self._names, self._session.run(self._names, typed), strict=True))


def difference(exact: Array, fixed: Array) -> dict[str, Any]:
    """Return how far ``fixed`` is from ``exact``, both ``[rows, ...]``.

    ``top1_agreed`` counts the rows whose largest value stands in the same place; None for a single value.
    """
    apart = np.abs(exact.astype(np.float64) - fixed)
    rows = len(apart)
    agreed = None
    if apart[0].size > 1:
        places = [one.reshape(rows, -1).argmax(axis=1) for one in (exact, fixed)]
        agreed = int((places[0] == places[1]).sum())
    return {
        "max_abs_difference": float(apart.max()),
        "mean_abs_difference": float(apart.mean()),
        "top1_agreed": agreed,
    }


def read_feeds(raw_data: str, inputs: Sequence[Port]) -> dict[str, Array]:
    """Return a request's arrays: ``{"data": rows}`` for one input, or ``{"inputs": [{"name", "data"}]}``.

    Raises `ValueError` for what does not fit, without repeating it.
    """
    asked = json.loads(raw_data)
    if "data" in asked and len(inputs) == 1:
        given = {inputs[0].name: asked["data"]}
    else:
        given = {one["name"]: one["data"] for one in asked.get("inputs", ())}
    feeds = {}
    for port in inputs:
        if port.name not in given:
            raise ValueError(f"the request has no input {port.name}")
        array = np.asarray(given[port.name], np.float64)
        size = math.prod(port.shape)
        if not array.size or array.size % size or not np.isfinite(array).all():
            raise ValueError(f"input {port.name} is not rows of {size} finite numbers")
        feeds[port.name] = array.reshape(-1, *port.shape)
    if len({len(array) for array in feeds.values()}) != 1:
        raise ValueError("the inputs differ in rows")
    return feeds


class Scorer:
    """The emulation, and beside it the float model for a part of the requests."""

    def __init__(self, folder: Path, part: float) -> None:
        self._emulation = Emulation(folder / "fpga")
        self._part = part
        self._float: Runs | None = FloatModel(_onnx_file(folder)) if part else None
        self._asked = 0
        self._rows = 0
        self._largest = 0.0

    def score(self, raw_data: str) -> dict[str, Any]:
        """Return the emulation's outputs, with the agreement where this request was compared."""
        feeds = read_feeds(raw_data, self._emulation.inputs)
        outputs = self._emulation.run(feeds)
        answer: dict[str, Any] = {"result": next(iter(outputs.values())).tolist()}
        if len(outputs) > 1:
            answer["outputs"] = {name: array.tolist() for name, array in outputs.items()}
        answer["arithmetic"] = self._emulation.precision
        self._asked += 1
        if self._float is not None and _is_due(self._asked, self._part):
            answer["agreement"] = self._compare(self._float.run(feeds), outputs)
        return answer

    def _compare(self, exact: Mapping[str, Array], fixed: Mapping[str, Array]) -> dict[str, Any]:
        found = {name: difference(exact[name], array) for name, array in fixed.items()}
        rows = len(next(iter(fixed.values())))
        largest = max(one["max_abs_difference"] for one in found.values())
        self._rows += rows
        self._largest = max(self._largest, largest)
        _say(
            f"{rows} rows, largest difference {largest:.3g}; "
            f"since the start {self._rows} rows, largest {self._largest:.3g}"
        )
        return {"rows": rows, "outputs": found}


def _is_due(number: int, part: float) -> bool:
    """Is the ``number``-th request (from 1) one of those compared? Evenly spread, without randomness."""
    return math.floor(number * part) > math.floor((number - 1) * part)


def _onnx_file(folder: Path) -> Path:
    (file,) = [path for path in folder.rglob("*") if path.suffix.lower() == ".onnx" and path.is_file()]
    return file


def _read_part(text: str) -> float:
    part = float(text or "1")
    if not 0 <= part <= 1:
        raise ValueError(f"{COMPARE} is not a number from 0 to 1")
    return part


def _say(text: str) -> None:
    sys.stderr.write(f"fpga emulation: {text}\n")
    sys.stderr.flush()


_scorers: list[Scorer] = []


def init() -> None:
    """Load the emulation, and the float model where some request will be compared."""
    folder = Path(os.environ["AZUREML_MODEL_DIR"])
    _scorers[:] = [Scorer(folder, _read_part(os.environ.get(COMPARE, "")))]
    measured = json.loads((folder / "fpga" / "agreement.json").read_text())
    for one in measured["outputs"]:
        _say(
            f"output {one['name']} was up to {one['max_abs_difference']:.3g} from the float model "
            f"on {measured['rows']} rows ({measured['data']})"
        )


def run(raw_data: str) -> dict[str, Any]:
    """Score one request."""
    return _scorers[0].score(raw_data)
