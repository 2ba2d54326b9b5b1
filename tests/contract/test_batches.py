"""A batch on the wire: plain or compressed, told by its first bytes, and never more than a bound."""

import msgspec
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.telemetry.batches import unpack
from contract.batches import ENCODINGS, MAGIC, MAX_BATCH_JSON_BYTES, ZSTD, pack
from contract.encoding import encode
from contract.errors import ContractError
from contract.messages import Batch


def batch(*bodies: bytes) -> Batch:
    return Batch(
        epoch="e", after=0, first=1, sampled_at_us=(1,) * len(bodies), bodies=tuple(map(msgspec.Raw, bodies))
    )


@pytest.mark.parametrize("compress", [False, True])
@given(st.lists(st.integers().map(lambda value: str(value).encode()), max_size=50))
def test_what_is_packed_is_unpacked(compress: bool, bodies: list[bytes]) -> None:
    assert unpack(pack(batch(*bodies), compress=compress)) == batch(*bodies)


def test_a_large_batch_is_compressed_and_a_tiny_one_stays_as_it_is() -> None:
    large, tiny = batch(*[b'{"celsius":21.5}'] * 100), batch()
    assert pack(large, compress=True).startswith(MAGIC)
    assert len(pack(large, compress=True)) < len(encode(large)) / 5
    assert pack(large, compress=False) == encode(large)
    assert pack(tiny, compress=True) == encode(tiny)
    assert ENCODINGS == (ZSTD,)


def of_size(size_bytes: int) -> bytes:
    plain = encode(batch(b'"' + b"x" * 10 + b'"'))
    return plain.replace(b"x" * 10, b"x" * (size_bytes - len(plain) + 10))


def test_a_frame_may_give_what_a_plain_message_may_have_and_no_byte_more() -> None:
    assert unpack(zstd.compress(of_size(MAX_BATCH_JSON_BYTES))).first == 1
    with pytest.raises(ContractError, match="more than 1048576 bytes"):
        unpack(zstd.compress(of_size(MAX_BATCH_JSON_BYTES + 1)))


def streamed(plain: bytes, times: int) -> bytes:
    """Return a frame that does not say how much it gives."""
    made = zstd.ZstdCompressor()
    return b"".join([made.compress(plain) for _ in range(times)] + [made.flush()])


LARGE_WINDOW = {int(zstd.CompressionParameter.window_log): 27}
PLAIN = encode(batch(b'"a body of some length, 12345678"'))
GOOD = zstd.compress(encode(batch(*[b"1"] * 100)))


@pytest.mark.parametrize(
    "payload",
    [
        streamed(b" " * (1 << 20), 512),
        streamed(b"[" * (1 << 20), 2),
        zstd.ZstdCompressor().compress(of_size(100)),
        GOOD[:-1],
        GOOD[: len(GOOD) // 2],
        GOOD + b"x",
        GOOD + GOOD,
        MAGIC,
        MAGIC + b"\xff" * 40,
        zstd.compress(b"not json"),
        zstd.compress(GOOD),
        zstd.compress(PLAIN, zstd_dict=zstd.ZstdDict(PLAIN * 20, is_raw=True)),
    ],
    ids=[
        "bomb of 512 MiB", "of 2 MiB", "nothing flushed", "cut by one", "cut in half", "a byte behind",
        "two frames", "magic alone", "noise", "not JSON", "twice compressed", "with a dictionary",
    ],
)  # fmt: skip
def test_bombs_and_what_is_damaged_are_refused_with_one_error(payload: bytes) -> None:
    with pytest.raises(ContractError):
        unpack(payload)


def test_a_frame_that_asks_for_a_large_window_is_refused() -> None:
    made = zstd.ZstdCompressor(options=LARGE_WINDOW)
    plain = of_size(1000)
    with pytest.raises(ContractError, match="not a valid zstd frame"):
        unpack(made.compress(plain) + made.flush())
    usual = zstd.ZstdCompressor()
    assert unpack(usual.compress(plain[:500]) + usual.compress(plain[500:]) + usual.flush()).first == 1
