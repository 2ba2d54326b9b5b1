"""The bytes of a batch of telemetry: JSON, or the same JSON as one zstd frame.

A reader tells them apart by the first bytes: zstd's magic number is never the start of JSON. A hub says in
its acknowledgements what it reads beside plain JSON (`Ack.encodings`); to one that says nothing goes JSON.
"""

import sys
from typing import Final

from contract.encoding import encode
from contract.messages import Batch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD: Final = "zstd"
ENCODINGS: Final = (ZSTD,)
"""What this release reads beside plain JSON."""

LEVEL: Final = 1
MAGIC: Final = b"\x28\xb5\x2f\xfd"
# What the broker takes of a plain message: no compressed one may become more.
MAX_BATCH_JSON_BYTES: Final = 1024 * 1024
# 8 MiB, which RFC 8878 asks of every reader. A frame that asks for more memory is refused.
WINDOW_LOG: Final = 23


def pack(batch: Batch, *, compress: bool) -> bytes:
    """Return the bytes of a message; compressed only where that is shorter."""
    plain = encode(batch)
    if not compress:
        return plain
    options = {
        int(zstd.CompressionParameter.compression_level): LEVEL,
        int(zstd.CompressionParameter.checksum_flag): 1,
    }
    packed = zstd.compress(plain, options=options)
    return packed if len(packed) < len(plain) else plain
