"""Rounding the weights of an ONNX file: the new file byte for byte, but for elements that were rounded."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np

from cloud_hub.errors import ModelRefusedError
from cloud_hub.images.deltas.scaling import recovered, restored, rounded
from cloud_hub.images.deltas.tensors import Extent, Key, tensors_of_onnx
from cloud_hub.rounding.errors import NoCommonTensorsError, RoundingModelError, ShapesDifferError
from contract.delta.container import MAX_TENSOR_BYTES

# TensorProto.DataType of float32.
FLOAT: Final = "1"


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Elements of the new model's float32 tensors of at least 512 bytes, by what became of them.

    ``exact``: they stand as they were given, for the old model has no such tensor, or rounding them does
    not pay.
    """

    rounded: int
    exact: int
    unchanged: int


def round_file(old: Path, new: Path, target: Path) -> Counts:
    """Write ``new`` to ``target``, its float32 tensors rounded to whole steps from those of ``old``.

    Raises `RoundingModelError`, `NoCommonTensorsError`, `ShapesDifferError`.
    """
    before, after = _tensors(old), _tensors(new)
    pairs = [(before[key], extent) for key, extent in after.items() if key in before]
    if not pairs:
        raise _nothing_in_common(before, after, new)
    shutil.copyfile(new, target)
    counts = {"rounded": 0, "unchanged": 0, "exact": 0}
    with old.open("rb") as first, target.open("r+b") as second:
        for old_extent, extent in pairs:
            for what, elements in _round_tensor(first, second, old_extent, extent):
                counts[what] += elements
    whole = sum(extent.size_bytes for extent in after.values()) // 4
    counts["exact"] = whole - counts["rounded"] - counts["unchanged"]
    return Counts(**counts)


def _round_tensor(first: BinaryIO, second: BinaryIO, old: Extent, new: Extent) -> Iterator[tuple[str, int]]:
    """Round one tensor in place, in the pieces that a delta cuts it into."""
    for at in range(0, new.size_bytes, MAX_TENSOR_BYTES):
        size = min(MAX_TENSOR_BYTES, new.size_bytes - at)
        before, after = _read(first, old.at + at, size), _read(second, new.at + at, size)
        if before == after:
            yield "unchanged", size // 4
            continue
        made = _piece(before, after)
        if made is None:
            yield "exact", size // 4
            continue
        second.seek(new.at + at)
        second.write(made)
        yield "rounded", size // 4


def _piece(old: bytes, new: bytes) -> bytes | None:
    """Return the rounded elements; None: they are to stand as they are.

    That is where they are not finite, where they moved by no more than float32's own rounding, and where
    the maker of deltas would not find the steps again.
    """
    before, after = np.frombuffer(old, "<f4"), np.frombuffer(new, "<f4")
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        return None
    found = rounded(before, after)
    made = restored(before, found)
    if not found.scales.any() or not np.isfinite(made).all() or recovered(before, made) is None:
        return None
    return made.astype("<f4").tobytes()


def _tensors(model: Path) -> dict[Key, Extent]:
    try:
        with model.open("rb") as file:
            found = tensors_of_onnx(file, model.stat().st_size)
    except OSError as error:
        raise RoundingModelError(f"it cannot be read ({error.strerror})", where=str(model)) from error
    except ModelRefusedError as error:
        raise RoundingModelError(
            f"it is not one self-contained ONNX file: {error.what}",
            where=model.name,
            fix="Export the model to one .onnx file that holds its weights.",
        ) from error
    return {key: extent for key, extent in found.items() if key[3] == FLOAT}


def _nothing_in_common(
    before: dict[Key, Extent], after: dict[Key, Extent], new: Path
) -> NoCommonTensorsError | ShapesDifferError:
    old_shapes = {key[1]: key[2] for key in before if key[1]}
    for _, name, shape, _, _ in after:
        if name in old_shapes:
            return ShapesDifferError(
                f"no float32 tensor has the shape that it has in the old model: {name} was "
                f"{list(old_shapes[name])} and is {list(shape)}",
                where=new.name,
                fix="Register the new model as it is: nothing of it can be rounded.",
            )
    return NoCommonTensorsError(
        "the models have no float32 tensor of at least 512 bytes with one name",
        where=new.name,
        fix="Export both in one way, so that weights keep their names; or register the new model as it is.",
    )


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
