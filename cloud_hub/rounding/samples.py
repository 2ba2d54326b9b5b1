"""The data set that a rounded model is tried on, as what the model's inputs take."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.rounding.errors import SamplesRefusedError

Array = NDArray[Any]
FIX: Final = "Give an .npz with an array of rows for each input; for one input also an .npy or .csv."


@dataclass(frozen=True)
class Port:
    """An input: its name, its shape (None: any size) with the rows first, and the type of its numbers."""

    name: str
    shape: tuple[int | None, ...]
    kind: Any


def read_samples(path: Path, ports: list[Port]) -> dict[str, Array]:
    """Return rows for each input; raises `SamplesRefusedError`."""
    given = _arrays(path, ports)
    feeds = {port.name: _fitting(path, port, given[port.name]) for port in ports}
    rows = [len(array) for array in feeds.values()]
    if len(set(rows)) != 1:
        raise _refused(path, "its arrays differ in rows")
    for port in ports:
        if port.shape[0] is not None and rows[0] % port.shape[0]:
            raise _refused(
                path, f"the model takes {port.shape[0]} rows at once, which do not divide {rows[0]}"
            )
    return feeds


def _arrays(path: Path, ports: list[Port]) -> dict[str, Array]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                names = archive.files
                if len(ports) == 1 and len(names) == 1:
                    return {ports[0].name: archive[names[0]]}
                given = {port.name: archive[port.name] for port in ports if port.name in names}
        elif path.suffix == ".npy":
            given = {ports[0].name: np.load(path, allow_pickle=False)}
        else:
            given = {ports[0].name: _of_csv(path)}
    except (ValueError, OSError, KeyError, TypeError, EOFError) as error:
        raise _refused(path, "it is not an .npz, .npy or .csv file of plain numbers") from error
    missing = [port.name for port in ports if port.name not in given]
    if missing:
        raise _refused(path, f"it has no array for the input {missing[0]}")
    return given


def _of_csv(path: Path) -> Array:
    """Read numbers between commas; a first line with a word in it is a head."""
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    try:
        np.array(first.split(","), np.float64)
        head = 0
    except ValueError:
        head = 1
    return np.loadtxt(path, delimiter=",", skiprows=head, ndmin=2, encoding="utf-8")


def _fitting(path: Path, port: Port, array: Array) -> Array:
    if array.dtype.kind not in "fiub" or array.ndim == 0 or not len(array):
        raise _refused(path, f"the array for the input {port.name} has no rows of numbers")
    inner = port.shape[1:]
    if not _same(array.shape[1:], inner):
        known = [size for size in inner if size is not None]
        if len(known) != len(inner) or math.prod(array.shape[1:]) != math.prod(known):
            told = [size if size is not None else "any" for size in inner]
            raise _refused(
                path, f"rows for the input {port.name} have shape {told}, these {list(array.shape[1:])}"
            )
        array = array.reshape(len(array), *known)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _refused(path, f"the array for the input {port.name} has values that are not finite")
    return array.astype(port.kind)


def _same(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size in {None, given} for given, size in zip(shape, wanted, strict=True)
    )


def _refused(path: Path, what: str) -> SamplesRefusedError:
    return SamplesRefusedError(what, where=path.name, fix=FIX)
