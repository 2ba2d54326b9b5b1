"""The container of a delta: a header, then steps that make the new tar from its start to its end.

Magic, a header in JSON after its length, then steps: a byte that says which, its numbers as varints
(LEB128), and its payloads, each after its length. Nothing stands behind the last step. The table is in
docs/wire.md. Version 2 has the step `Scaled`, which older agents do not know, and is the same otherwise.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

import msgspec

from contract.delta.scaled import SCALE_BYTES, WIDTH
from contract.encoding import decode
from contract.errors import HeadlandError

MEDIA_TYPE: Final = "application/vnd.headland.delta.v1"
# With steps `Scaled`: of a type of its own, so that an agent that cannot apply it never asks for it.
SCALED_MEDIA_TYPE: Final = "application/vnd.headland.delta.v2"
MEDIA_TYPES: Final = (MEDIA_TYPE, SCALED_MEDIA_TYPE)
FROM: Final = "dev.headland.delta.from"
TO: Final = "dev.headland.delta.to"
KIND: Final = "dev.headland.delta.kind"
BYTES: Final = "dev.headland.delta.bytes"

MAGIC: Final = b"HLDELTA1"
SCALED_MAGIC: Final = b"HLDELTA2"
MAX_HEADER_BYTES: Final = 4096
# What a device must hold at once: a window of the new tar, and what it is made from.
MAX_NEW_BYTES: Final = 8 << 20
MAX_OLD_BYTES: Final = 24 << 20
MAX_TENSOR_BYTES: Final = 4 << 20
MAX_BLOCK: Final = 1 << 20
FLOAT: Final = 0x10


class DeltaError(HeadlandError):
    """A delta is damaged, hostile, or not for these layers."""

    code = "delta-invalid"

    def __init__(self, what: str) -> None:
        super().__init__(what, where="delta", fix="The whole layer is pulled instead.")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Which tar a delta is made from and which it makes: their digests (diff ids) and sizes in bytes."""

    from_diff_id: str
    to_diff_id: str
    from_bytes: int
    to_bytes: int


class Code(IntEnum):
    """What a step does."""

    END = 0
    COPY = 1
    PATCH = 2
    TENSOR = 3
    SCALED = 4


class Coding(IntEnum):
    """How a plane of a tensor is compressed."""

    STORED = 0
    ZSTD = 1
    BZ2 = 2
    LZMA = 3


@dataclass(frozen=True)
class Copy:
    """The new tar goes on with bytes of the old one."""

    old_at: int
    size_bytes: int


@dataclass(frozen=True)
class Patch:
    """The new tar goes on with a zstd frame whose prefix is a part of the old one."""

    size_bytes: int
    old_at: int
    old_bytes: int
    payload: bytes


@dataclass(frozen=True)
class Tensor:
    """The new tar goes on with elements that are near those of the old one (`lanes`).

    ``planes``: for each byte of an element, how it is compressed, and the compressed bytes.
    """

    size_bytes: int
    old_at: int
    width: int
    is_float: bool
    planes: tuple[tuple[Coding, bytes], ...]


@dataclass(frozen=True)
class Scaled:
    """The new tar goes on with float32 elements that are whole steps from those of the old one (`scaled`).

    ``block`` elements have one scale. ``scales`` and ``steps``: how they are compressed, and the bytes.
    """

    size_bytes: int
    old_at: int
    block: int
    scales: tuple[Coding, bytes]
    steps: tuple[Coding, bytes]


Step = Copy | Patch | Tensor | Scaled


class Reader(Protocol):
    """Where a delta comes from: an open file."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, and none only at the end."""
        ...


def read_header(source: Reader) -> Header:
    """Read the start of a delta; raises `DeltaError`."""
    if exactly(source, len(MAGIC)) not in {MAGIC, SCALED_MAGIC}:
        raise DeltaError("the file is no delta of a version that is known here")
    length = _number(source, MAX_HEADER_BYTES)
    try:
        header = decode(exactly(source, length), Header, what="delta header")
    except HeadlandError as error:
        raise DeltaError(error.what) from error
    if header.from_bytes < 0 or header.to_bytes < 0:
        raise DeltaError("a size in the header is negative")
    return header


def read_step(source: Reader, header: Header, left_bytes: int) -> Step | None:
    """Read the next step, of which ``left_bytes`` may come; None: that was the end. Raises `DeltaError`."""
    code = exactly(source, 1)[0]
    if code == Code.END:
        if source.read(1):
            raise DeltaError("bytes stand behind the end")
        return None
    size = _number(source, left_bytes)
    old_at = _number(source, header.from_bytes)
    if size == 0:
        raise DeltaError("a step makes nothing")
    if code == Code.COPY:
        return Copy(_within(old_at, size, header), size)
    if code == Code.PATCH:
        _at_most(size, MAX_NEW_BYTES)
        old_bytes = _number(source, MAX_OLD_BYTES)
        _within(old_at, old_bytes, header)
        return Patch(size, old_at, old_bytes, exactly(source, _number(source, _compressed_most(size))))
    if code == Code.TENSOR:
        _at_most(size, MAX_TENSOR_BYTES)
        return _tensor(source, size, _within(old_at, size, header))
    if code == Code.SCALED:
        _at_most(size, MAX_TENSOR_BYTES)
        return _scaled(source, size, _within(old_at, size, header))
    raise DeltaError("a step is of a kind that is not known here")


def exactly(source: Reader, size: int) -> bytes:
    """Read ``size`` bytes; raises `DeltaError` where there are fewer."""
    found = source.read(size)
    while len(found) < size:
        more = source.read(size - len(found))
        if not more:
            raise DeltaError("the delta is cut off")
        found += more
    return found


def _tensor(source: Reader, size: int, old_at: int) -> Tensor:
    kind = _number(source, FLOAT | 8)
    width = kind & ~FLOAT
    if width not in {1, 2, 4, 8} or size % width:
        raise DeltaError("a tensor's elements have no size that is known here")
    planes = tuple(_payload(source, size // width) for _ in range(width))
    return Tensor(size, old_at, width, bool(kind & FLOAT), planes)


def _scaled(source: Reader, size: int, old_at: int) -> Scaled:
    block = _number(source, MAX_BLOCK)
    if block == 0 or size % WIDTH:
        raise DeltaError("a tensor's elements have no size that is known here")
    count = size // WIDTH
    scales = _payload(source, SCALE_BYTES * -(-count // block))
    return Scaled(size, old_at, block, scales, _payload(source, count))


def _payload(source: Reader, size: int) -> tuple[Coding, bytes]:
    """Read a coding and the compressed form of ``size`` bytes."""
    coding = _number(source, max(Coding))
    return Coding(coding), exactly(source, _number(source, _compressed_most(size)))


def _compressed_most(size: int) -> int:
    """Return what no honest compressor exceeds for ``size`` bytes."""
    return size + size // 64 + 1024


def _at_most(value: int, most: int) -> None:
    if value > most:
        raise DeltaError("a number is larger than allowed")


def _within(at: int, size: int, header: Header) -> int:
    if at + size > header.from_bytes:
        raise DeltaError("a step reads beyond the old layer")
    return at


def _number(source: Reader, most: int) -> int:
    value = 0
    for shift in range(0, 63, 7):
        byte = exactly(source, 1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            _at_most(value, most)
            return value
    raise DeltaError("a number is larger than allowed")
