"""Runs two models on a data set, and tells how far their outputs are apart."""

import importlib
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud_hub.rounding.errors import NotFiniteError, RoundingModelError, RoundingUnavailableError
from cloud_hub.rounding.samples import Port, read_samples

Array = NDArray[Any]
# Rows that a model with a free first dimension is given at once.
BATCH_ROWS: Final = 128
TYPES: Final[dict[str, Any]] = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16, "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64, "tensor(uint32)": np.uint32, "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_,
}  # fmt: skip


class OutputChange(msgspec.Struct, frozen=True, kw_only=True):
    """How far an output of the rounded model is from the float model's, over all numbers of all rows.

    ``low`` and ``high`` are the float model's least and greatest number. ``changed_rows``: of rows of at
    least two floats, those whose largest stands elsewhere; of whole numbers, those with another one; else
    None.
    """

    name: str
    largest_change: float
    mean_change: float
    low: float
    high: float
    changed_rows: int | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The outputs on ``rows`` of data; ``not_compared`` are those that are no tensors of numbers."""

    rows: int
    outputs: tuple[OutputChange, ...]
    not_compared: tuple[str, ...]


def compare(exact: Path, rounded: Path, samples: Path) -> Comparison:
    """Run both; blocks. Raises `RoundingModelError`, `SamplesRefusedError`, `NotFiniteError`."""
    first, second = _Model(exact), _Model(rounded)
    feeds = read_samples(samples, first.ports)
    rows = len(next(iter(feeds.values())))
    batch = next((port.shape[0] for port in first.ports if port.shape[0] is not None), BATCH_ROWS)
    changes = {name: _Change(name) for name in first.outputs}
    for at in range(0, rows, batch):
        part = {name: array[at : at + batch] for name, array in feeds.items()}
        answers = zip(first.run(part), second.run(part), strict=True)
        for change, (one, other) in zip(changes.values(), answers, strict=True):
            change.add(one, other)
    told = tuple(change.told() for change in changes.values() if change.is_comparable)
    if not told:
        raise RoundingModelError("no output of the model is a tensor of numbers", where=exact.name)
    others = tuple(name for name, change in changes.items() if not change.is_comparable)
    return Comparison(rows=rows, outputs=told, not_compared=others)


class _Model:
    def __init__(self, file: Path) -> None:
        self._name = file.name
        try:
            runtime = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise RoundingUnavailableError(
                "onnxruntime is not installed on this machine",
                where="onnxruntime",
                fix="pip install onnxruntime",
            ) from error
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        try:
            self._session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no root of their own
            raise RoundingModelError(
                "onnxruntime cannot load the model", where=file.name, fix="Run it in onnxruntime by itself."
            ) from error
        self.ports = [self._port(one) for one in self._session.get_inputs()]
        if not self.ports:
            raise RoundingModelError("the model has no inputs to try it with", where=file.name)
        self.outputs = [one.name for one in self._session.get_outputs()]

    def _port(self, given: Any) -> Port:  # noqa: ANN401  onnxruntime's
        shape = tuple(size if isinstance(size, int) else None for size in given.shape)
        if given.type not in TYPES or not shape:
            raise RoundingModelError(
                f"its input {given.name} is no tensor of numbers with rows", where=self._name
            )
        return Port(given.name, shape, TYPES[given.type])

    def run(self, feeds: dict[str, Array]) -> list[Any]:
        try:
            answers: list[Any] = self._session.run(self.outputs, feeds)
        except Exception as error:
            raise RoundingModelError(
                "onnxruntime cannot run the model on the data set",
                where=self._name,
                fix="Look at shapes and values of the data set.",
            ) from error
        return answers


class _Change:
    """Sums up one output, batch by batch."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_comparable = True
        self._largest = self._sum = 0.0
        self._count = 0
        self._low, self._high = np.inf, -np.inf
        self._changed_rows: int | None = None

    def add(self, one: Any, other: Any) -> None:  # noqa: ANN401  what onnxruntime answers
        if not (isinstance(one, np.ndarray) and one.dtype.kind in "fiub" and one.size):
            self.is_comparable = False
            return
        exact, rounded = one.astype(np.float64), np.asarray(other).astype(np.float64)
        if not (np.isfinite(exact).all() and np.isfinite(rounded).all()):
            raise NotFiniteError(
                "the output is not finite on the data set",
                where=self._name,
                fix="Look at the new model and at the data set.",
            )
        change = np.abs(exact - rounded)
        self._largest = max(self._largest, float(change.max()))
        self._sum, self._count = self._sum + float(change.sum()), self._count + change.size
        self._low, self._high = min(self._low, float(exact.min())), max(self._high, float(exact.max()))
        if one.dtype.kind != "f":
            self._count_rows(change.reshape(one.shape[0] if one.ndim else 1, -1).max(axis=1) > 0)
        elif one.ndim == 2 and one.shape[1] > 1:
            self._count_rows(exact.argmax(axis=1) != rounded.argmax(axis=1))

    def _count_rows(self, changed: Any) -> None:  # noqa: ANN401  an array of booleans
        self._changed_rows = (self._changed_rows or 0) + int(np.count_nonzero(changed))

    def told(self) -> OutputChange:
        return OutputChange(
            name=self._name,
            largest_change=self._largest,
            mean_change=self._sum / self._count,
            low=self._low,
            high=self._high,
            changed_rows=self._changed_rows,
        )
