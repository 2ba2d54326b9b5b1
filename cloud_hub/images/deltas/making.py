"""Makes a delta between two tars, in memory bounded by its windows."""

import bz2
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
from backports import zstd

from cloud_hub.images.deltas.anchors import AnchorIndex
from cloud_hub.images.deltas.scaling import BLOCK, recovered
from cloud_hub.images.deltas.tensors import Extent, Key, tensors_in
from cloud_hub.images.deltas.writing import END, header_bytes, step_bytes
from contract.delta.applying import LZMA_FILTERS
from contract.delta.container import (
    MAX_NEW_BYTES,
    MAX_OLD_BYTES,
    MAX_TENSOR_BYTES,
    SCALED_MAGIC,
    Coding,
    Copy,
    Header,
    Patch,
    Scaled,
    Step,
    Tensor,
)
from contract.delta.lanes import differences, planes
from contract.delta.scaled import WIDTH

PATCH, TENSOR, SCALED = "patch", "tensor", "scaled"
SMALL_LEVEL: Final = 19
# Level 19 takes 30 times as long over 24 MiB of old bytes, for a patch that is smaller by a tenth.
LARGE_LEVEL: Final = 12
LARGE_BYTES: Final = 4 << 20
# Planes have no matches: Huffman coding alone is best, and that of the fastest level is the purest.
PLANE_LEVEL: Final = 1
NOISE: Final = 0.999
# A gap between tensors looks at the old bytes around the same place; to search pays from here on.
NEAR_BYTES: Final = 32 * 1024
FAR_BYTES: Final = 64 * 1024
COMPARE_BYTES: Final = 4096
# A tensor whose differences are no smaller than this share of it is tried as a patch too.
RETRAINED: Final = 0.9


@dataclass(frozen=True)
class _Part:
    """A part of the new tar: a tensor with its older self, or bytes between (``old_at``: where to look)."""

    at: int
    size_bytes: int
    old_at: int
    tensor: Extent | None = None


@dataclass(frozen=True)
class Made:
    """What a delta came to: its kind, and the bytes of the new tar that each kind of step makes."""

    kind: str
    copied_bytes: int
    patched_bytes: int
    tensor_bytes: int
    scaled_bytes: int


def make_delta(
    old: BinaryIO,
    new: BinaryIO,
    header: Header,
    target: BinaryIO,
    *,
    with_tensors: bool = True,
    with_scaled: bool = True,
) -> Made:
    """Write the delta from the tar ``old`` to ``new`` to ``target``, which starts at its first byte.

    Without tensors it is a mere patch; without scaled ones every agent can apply it. Only where a tensor
    is scaled is it of the container's version 2.
    """
    sizes = {Copy: 0, Patch: 0, Tensor: 0, Scaled: 0}
    target.write(header_bytes(header))
    maker = _Maker(old, new, header, with_tensors=with_tensors, with_scaled=with_scaled)
    for step in _joined(maker.steps()):
        sizes[type(step)] += step.size_bytes
        target.write(step_bytes(step))
    target.write(END)
    if sizes[Scaled]:
        target.seek(0)
        target.write(SCALED_MAGIC)
    kind = SCALED if sizes[Scaled] else TENSOR if sizes[Tensor] else PATCH
    return Made(kind, sizes[Copy], sizes[Patch], sizes[Tensor], sizes[Scaled])


def parts_of(new_bytes: int, old: dict[Key, Extent], new: dict[Key, Extent]) -> Iterator[_Part]:
    """Yield the parts of the new tar in order: tensors that the old one has too, and what is between."""
    at = old_at = 0
    pairs = sorted(
        ((extent, old[key]) for key, extent in new.items() if key in old), key=lambda pair: pair[0].at
    )
    for extent, before in pairs:
        same = (extent.size_bytes, extent.width) == (before.size_bytes, before.width)
        if extent.at < at or not same:
            continue  # two names for one place, or a type that is stored in two manners
        if extent.at > at:
            yield _Part(at, extent.at - at, old_at)
        yield _Part(extent.at, extent.size_bytes, before.at, extent)
        at, old_at = extent.at + extent.size_bytes, before.at + before.size_bytes
    if at < new_bytes:
        yield _Part(at, new_bytes - at, old_at)


class _Maker:
    def __init__(
        self, old: BinaryIO, new: BinaryIO, header: Header, *, with_tensors: bool, with_scaled: bool
    ) -> None:
        self._old, self._new = old, new
        self._old_bytes, self._new_bytes = header.from_bytes, header.to_bytes
        self._index: AnchorIndex | None = None
        self._with_tensors, self._with_scaled = with_tensors, with_scaled

    def steps(self) -> Iterator[Step]:
        before, after = ({}, {}) if not self._with_tensors else (tensors_in(self._old), tensors_in(self._new))
        for part in parts_of(self._new_bytes, before, after):
            most = MAX_TENSOR_BYTES if part.tensor else MAX_NEW_BYTES
            for at in range(0, part.size_bytes, most):
                data = _read(self._new, part.at + at, min(most, part.size_bytes - at))
                if part.tensor is not None:
                    yield from self._near(data, part.old_at + at, part.tensor)
                else:
                    yield from self._bytes(data, part.at + at, part.old_at + at)

    def _near(self, data: bytes, old_at: int, tensor: Extent) -> Iterator[Step]:
        old = _read(self._old, old_at, len(data))
        if old == data:
            yield Copy(old_at, len(data))
            return
        scaled = _scaled(data, old, old_at, tensor) if self._with_scaled else None
        if scaled is not None:
            yield scaled
            return
        found = differences(old, data, tensor.width, is_float=tensor.is_float)
        coded = tuple(_smallest(plane) for plane in planes(found, tensor.width))
        step = Tensor(len(data), old_at, tensor.width, tensor.is_float, coded)
        size = len(step_bytes(step))
        if size > RETRAINED * len(data):
            patch = _patch(data, old, old_at)
            if len(patch.payload) < size:
                yield patch
                return
        yield step

    def _bytes(self, data: bytes, at: int, old_at: int) -> Iterator[Step]:
        """Make steps for bytes that stood at about ``old_at``: equal ends are copied, the rest is a patch."""
        beside = _read(self._old, old_at, len(data))
        head = _equal(data, beside)
        if head >= min(len(data), COMPARE_BYTES):
            yield Copy(old_at, head)
            data, at, old_at = data[head:], at + head, old_at + head
        if not data:
            return
        start, size = self._window(data, at, old_at)
        yield _patch(data, _read(self._old, start, size), start)

    def _window(self, data: bytes, at: int, old_at: int) -> tuple[int, int]:
        """Return the part of the old tar that has most of these bytes."""
        if len(data) < FAR_BYTES:
            start = max(0, min(old_at, self._old_bytes) - NEAR_BYTES)
            return start, min(2 * NEAR_BYTES + len(data), self._old_bytes - start)
        if self._index is None:
            self._index = AnchorIndex(self._old, self._old_bytes)
        size = min(MAX_OLD_BYTES, self._old_bytes)
        found = self._index.best_window(data, size)
        if found is not None:
            return found, size
        middle = (at + len(data) // 2) * self._old_bytes // max(1, self._new_bytes)
        return max(0, min(middle - size // 2, self._old_bytes - size)), size


def _scaled(data: bytes, old: bytes, old_at: int, tensor: Extent) -> Scaled | None:
    """Return the step for a tensor that was rounded (`cloud_hub.rounding`); None: it was not."""
    if tensor.width != WIDTH or not tensor.is_float:
        return None
    found = recovered(np.frombuffer(old, "<f4"), np.frombuffer(data, "<f4"))
    if found is None:
        return None
    scales, steps = (_smallest(each.tobytes()) for each in (found.scales.astype("<u2"), found.steps))
    return Scaled(len(data), old_at, BLOCK, scales, steps)


def _patch(data: bytes, old: bytes, old_at: int) -> Patch:
    parameter = zstd.CompressionParameter
    size = len(data) + len(old)
    options: dict[int, int] = {
        parameter.compression_level: SMALL_LEVEL if size < LARGE_BYTES else LARGE_LEVEL,
        parameter.window_log: max(10, min(27, size.bit_length())),
    }
    if size >= LARGE_BYTES:
        options |= {parameter.search_log: 9, parameter.hash_log: 24, parameter.target_length: 256}
    dictionary = zstd.ZstdDict(old, is_raw=True).as_prefix if old else None
    payload = zstd.compress(data, options=options, zstd_dict=dictionary)
    return Patch(len(data), old_at if old else 0, len(old), payload)


def _smallest(plane: bytes) -> tuple[Coding, bytes]:
    """Return the plane in the smallest of all codings; noise is stored, and costs no more looking."""
    probed = _coded(plane, Coding.ZSTD)
    if len(probed) > NOISE * len(plane):
        return Coding.STORED, plane
    found = [(Coding.ZSTD, probed)]
    found += [(coding, _coded(plane, coding)) for coding in (Coding.BZ2, Coding.LZMA)]
    return min(found, key=lambda each: len(each[1]))


def _coded(plane: bytes, coding: Coding) -> bytes:
    if coding == Coding.ZSTD:
        return zstd.compress(plane, level=PLANE_LEVEL)
    if coding == Coding.BZ2:
        return bz2.compress(plane, 9)
    return lzma.compress(plane, format=lzma.FORMAT_RAW, filters=LZMA_FILTERS)


def _equal(first: bytes, second: bytes) -> int:
    """Return how many bytes at the start of both are equal."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _joined(steps: Iterator[Step]) -> Iterator[Step]:
    """Yield the steps, copies that follow one another as one."""
    waiting: Copy | None = None
    for step in steps:
        if isinstance(step, Copy) and waiting and waiting.old_at + waiting.size_bytes == step.old_at:
            waiting = Copy(waiting.old_at, waiting.size_bytes + step.size_bytes)
            continue
        if waiting is not None:
            yield waiting
        waiting = step if isinstance(step, Copy) else None
        if waiting is None:
            yield step
    if waiting is not None:
        yield waiting


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
