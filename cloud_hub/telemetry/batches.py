"""Reads batches as `contract.batches` packs them, from devices that nobody trusts with the hub's memory."""

import sys

from contract.batches import MAGIC, MAX_BATCH_JSON_BYTES, WINDOW_LOG
from contract.encoding import decode
from contract.errors import ContractError
from contract.messages import Batch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def unpack(payload: bytes) -> Batch:
    """Read a message; raises `ContractError` also for a frame that is damaged, or large once it is unpacked.

    No more than `MAX_BATCH_JSON_BYTES` and one are ever made of it, whatever its head says.
    """
    if payload.startswith(MAGIC):
        payload = _decompressed(payload)
    return decode(payload, Batch, what="telemetry batch")


def _decompressed(payload: bytes) -> bytes:
    decompressor = zstd.ZstdDecompressor(
        options={int(zstd.DecompressionParameter.window_log_max): WINDOW_LOG}
    )
    try:
        plain = decompressor.decompress(payload, max_length=MAX_BATCH_JSON_BYTES + 1)
    except zstd.ZstdError as error:
        raise ContractError("not a valid zstd frame", where="telemetry batch") from error
    if len(plain) > MAX_BATCH_JSON_BYTES:
        raise ContractError(
            f"more than {MAX_BATCH_JSON_BYTES} bytes once it is unpacked", where="telemetry batch"
        )
    if not decompressor.eof or decompressor.unused_data:
        raise ContractError("not exactly one whole zstd frame", where="telemetry batch")
    return plain
