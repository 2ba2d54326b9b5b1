"""What a layer is compressed with, told by its first bytes: gzip (RFC 1952), zstd (RFC 8878), or nothing."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
WINDOW_LOG_MAX: Final = 25
"""A frame may ask for 32 MiB of memory, as much as level 20; the library's own bound is 128 MiB."""
COMPRESSION_ERRORS: Final = (gzip.BadGzipFile, zlib.error, zstd.ZstdError)


@contextmanager
def decompressed(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield a stream of what ``raw`` holds; reading it may raise `COMPRESSION_ERRORS` and `EOFError`."""
    magic = raw.read(len(ZSTD))
    raw.seek(0)
    stream: Any = raw
    if magic.startswith(GZIP):
        stream = gzip.GzipFile(fileobj=raw)
    elif magic == ZSTD:
        options = {int(zstd.DecompressionParameter.window_log_max): WINDOW_LOG_MAX}
        stream = zstd.ZstdFile(raw, options=options)
    try:
        yield stream
    finally:
        if stream is not raw:
            stream.close()
