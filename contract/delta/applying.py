"""From a delta and the old tar to the new tar, piece by piece."""

import bz2
import lzma
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from contract.delta.container import (
    Coding,
    Copy,
    DeltaError,
    Header,
    Patch,
    Reader,
    Scaled,
    Tensor,
    read_step,
)
from contract.delta.lanes import interleaved, restored
from contract.delta.scaled import SCALE_BYTES, WIDTH, stepped

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COPY_BYTES: Final = 1 << 20
PIECE_BYTES: Final = 256 * 1024
OTHER_SIZE: Final = "a payload has another size than its step says"
# 8 MiB: what a window of the new tar may have. A frame that asks for more is refused.
WINDOW_LOG: Final = 23
# Of literals alone: the planes of a tensor's differences have no repetitions worth a dictionary.
LZMA_FILTERS: Final[list[dict[str, Any]]] = [
    {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16, "lc": 0, "lp": 0, "pb": 0, "nice_len": 273}
]

OldBytes = Callable[[int, int], bytes]
"""Returns ``size`` bytes of the old tar from an offset (the first number); both are within it."""


def pieces(source: Reader, header: Header, old: OldBytes) -> Iterator[bytes]:
    """Yield the new tar from the steps behind the header; raises `DeltaError`.

    That it is the right one is proved by its digest alone, which the caller takes.
    """
    left = header.to_bytes
    while (step := read_step(source, header, left)) is not None:
        left -= step.size_bytes
        match step:
            case Copy():
                for at in range(0, step.size_bytes, COPY_BYTES):
                    yield _old(old, step.old_at + at, min(COPY_BYTES, step.size_bytes - at))
            case Patch():
                yield from _patched(step, _old(old, step.old_at, step.old_bytes))
            case Tensor():
                yield _near(step, _old(old, step.old_at, step.size_bytes))
            case Scaled():
                yield _away(step, _old(old, step.old_at, step.size_bytes))
    if left:
        raise DeltaError("the delta makes less than its header says")


def _old(old: OldBytes, at: int, size: int) -> bytes:
    found = old(at, size)
    if len(found) != size:
        raise DeltaError("the old layer is not what the delta was made from")
    return found


def _patched(step: Patch, prefix: bytes) -> Iterator[bytes]:
    """Yield a window in pieces: the prefix alone is much memory, so nothing else is held whole."""
    decompressor = _zstd(zstd.ZstdDict(prefix, is_raw=True).as_prefix if prefix else None)
    del prefix
    at, left = 0, step.size_bytes
    while not decompressor.eof:
        given = step.payload[at : at + PIECE_BYTES] if decompressor.needs_input else b""
        if decompressor.needs_input and not given:
            raise DeltaError(OTHER_SIZE)
        at += len(given)
        piece = _decompressed(decompressor, given, min(PIECE_BYTES, left + 1))
        if len(piece) > left:
            raise DeltaError(OTHER_SIZE)
        left -= len(piece)
        if piece:
            yield piece
    if left or at < len(step.payload) or decompressor.unused_data:
        raise DeltaError(OTHER_SIZE)


def _near(step: Tensor, old: bytes) -> bytes:
    size = step.size_bytes // step.width
    planes = [_plane(coding, payload, size) for coding, payload in step.planes]
    return restored(old, interleaved(planes), step.width, is_float=step.is_float)


def _away(step: Scaled, old: bytes) -> bytes:
    count = step.size_bytes // WIDTH
    scales = _plane(*step.scales, SCALE_BYTES * -(-count // step.block))
    made = stepped(old, scales, _plane(*step.steps, count), step.block)
    if made is None:
        raise DeltaError("a scale is negative or not finite")
    return made


def _plane(coding: Coding, payload: bytes, size: int) -> bytes:
    if coding == Coding.ZSTD:
        return _whole(_zstd(None), payload, size)
    if coding == Coding.STORED:
        if len(payload) != size:
            raise DeltaError(OTHER_SIZE)
        return payload
    if coding == Coding.BZ2:
        return _whole(bz2.BZ2Decompressor(), payload, size)
    return _whole(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=LZMA_FILTERS), payload, size)


def _zstd(dictionary: Any) -> zstd.ZstdDecompressor:  # noqa: ANN401  what `as_prefix` is
    options = {int(zstd.DecompressionParameter.window_log_max): WINDOW_LOG}
    return zstd.ZstdDecompressor(zstd_dict=dictionary, options=options)


def _whole(decompressor: Any, payload: bytes, size: int) -> bytes:  # noqa: ANN401  three libraries, one manner
    """Return exactly ``size`` bytes; one byte more is never made."""
    found = _decompressed(decompressor, payload, size + 1)
    if len(found) != size or not decompressor.eof or decompressor.unused_data:
        raise DeltaError(OTHER_SIZE)
    return found


def _decompressed(decompressor: Any, data: bytes, most: int) -> bytes:  # noqa: ANN401
    try:
        found: bytes = decompressor.decompress(data, max_length=most)
    except (zstd.ZstdError, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise DeltaError("a payload cannot be decompressed") from error
    return found
