"""The container: as it ever was, and hostile ones refused before they cost anything."""

import bz2
import io
import lzma
import struct
from pathlib import Path

import pytest
from backports import zstd

from cloud_hub.images.deltas import writing
from contract.delta import container
from contract.delta.applying import LZMA_FILTERS
from contract.delta.container import Coding, Copy, DeltaError, Header, Patch, Scaled, Tensor
from contract.digests import sha256
from tests.deltas.layers import applied, delta_of, header_of

GOLDEN = Path(__file__).parent / "golden"
OLD = bytes(range(256)) * 40


def delta(
    *steps: container.Step,
    size: int,
    old: bytes = OLD,
    end: bytes = writing.END,
    magic: bytes = container.MAGIC,
) -> bytes:
    """Return a delta of these steps."""
    header = Header(
        from_diff_id=sha256(old), to_diff_id="sha256:" + "0" * 64, from_bytes=len(old), to_bytes=size
    )
    return writing.header_bytes(header, magic) + b"".join(map(writing.step_bytes, steps)) + end


def scaled(
    size: int = 16,
    *,
    at: int = 0,
    block: int = 2,
    scales: bytes = b"\x80\x3f\x00\x3f",
    steps: bytes = b"\x01\xff\x02\x00",
) -> Scaled:
    """Return a step for four numbers, of which two have the scale 1 and two the scale 0.5."""
    return Scaled(size, at, block, (Coding.STORED, scales), (Coding.STORED, steps))


NUMBERS = struct.pack("<4f", 10.0, 20.0, 30.0, -0.0)


def test_a_delta_of_version_2_is_still_read_and_written() -> None:
    stored = (GOLDEN / "delta-2.bin").read_bytes()
    assert applied(stored, NUMBERS) == struct.pack("<4f", 9.0, 21.0, 29.0, -0.0)
    assert delta(scaled(), size=16, old=NUMBERS, magic=container.SCALED_MAGIC) == stored


def golden_steps() -> tuple[list[container.Step], bytes]:
    """Return steps of every kind and coding, and what they make of `OLD`."""
    patch = zstd.compress(b"new bytes", zstd_dict=zstd.ZstdDict(OLD[:512], is_raw=True).as_prefix)
    zeros = bytes(64)
    planes = (
        (Coding.STORED, zeros),
        (Coding.ZSTD, zstd.compress(zeros)),
        (Coding.BZ2, bz2.compress(zeros)),
        (Coding.LZMA, lzma.compress(zeros, format=lzma.FORMAT_RAW, filters=LZMA_FILTERS)),
    )
    steps: list[container.Step] = [
        Copy(100, 1000),
        Patch(9, 0, 512, patch),
        Tensor(256, 256, 4, True, planes),
    ]
    return steps, OLD[100:1100] + b"new bytes" + OLD[256:512]


def test_a_delta_of_the_first_release_is_still_read() -> None:
    _, made = golden_steps()
    assert applied((GOLDEN / "delta-1.bin").read_bytes(), OLD) == made


def test_a_delta_is_written_as_ever() -> None:
    """Compressors may change what they write: the container around their bytes may not."""
    stored = (GOLDEN / "delta-1.bin").read_bytes()
    source = io.BytesIO(stored)
    header = container.read_header(source)
    steps, left = [], header.to_bytes
    while (step := container.read_step(source, header, left)) is not None:
        steps.append(step)
        left -= step.size_bytes
    assert [type(step) for step in steps] == [Copy, Patch, Tensor]
    again = writing.header_bytes(header) + b"".join(map(writing.step_bytes, steps)) + writing.END
    assert again == stored


ZIP = zstd.compress(bytes(1 << 20))
HOSTILE = {
    "other magic": b"HLDELTA3" + delta(Copy(0, 1), size=1)[8:],
    "long header": container.MAGIC + b"\xff\xff\x7f",
    "header is no JSON": container.MAGIC + b"\x02[]",
    "endless number": container.MAGIC + b"\xff" * 20,
    "negative size": delta(size=-5),
    "copy beyond the old": delta(Copy(len(OLD) - 5, 10), size=10),
    "copy from beyond": delta(Copy(len(OLD) + 1, 10), size=10),
    "more than it said": delta(Copy(0, 10), Copy(0, 10), size=15),
    "less than it said": delta(Copy(0, 10), size=11),
    "empty step": delta(Copy(0, 0), size=10),
    "unknown step": delta(size=10, end=b"\x09\x01\x01"),
    "bytes behind the end": delta(Copy(0, 10), size=10) + b"x",
    "patch beyond the old": delta(Patch(5, len(OLD) - 1, 10, ZIP), size=5),
    "patch window too large": delta(Patch(9 << 20, 0, 0, ZIP), size=9 << 20),
    "bomb": delta(Patch(1000, 0, 0, ZIP), size=1000),
    "bomb of two frames": delta(Patch(4, 0, 0, zstd.compress(b"abcd") + ZIP), size=4),
    "short frame": delta(Patch(9, 0, 0, zstd.compress(b"abcd")), size=9),
    "cut frame": delta(Patch(1 << 20, 0, 0, ZIP[:-3]), size=1 << 20),
    "no frame": delta(Patch(9, 0, 0, b"nonsense"), size=9),
    "frame with a huge window": delta(
        Patch(
            4,
            0,
            0,
            zstd.ZstdCompressor(options={int(zstd.CompressionParameter.window_log): 27}).compress(
                b"abcd", zstd.ZstdCompressor.FLUSH_FRAME
            )[:4]
            + b"\x00\x88\x21\x00\x00abcd",
        ),
        size=4,
    ),
    "width of three": delta(Tensor(6, 0, 3, False, ((Coding.STORED, b"ab"),) * 3), size=6),
    "half an element": delta(Tensor(6, 0, 4, False, ((Coding.STORED, b"a"),) * 4), size=6),
    "tensor beyond the old": delta(Tensor(8, len(OLD) - 4, 4, True, ((Coding.STORED, b"ab"),) * 4), size=8),
    "tensor too large": delta(Tensor(5 << 20, 0, 1, False, ((Coding.ZSTD, ZIP),)), size=5 << 20),
    "plane bomb": delta(Tensor(8, 0, 1, False, ((Coding.ZSTD, ZIP),)), size=8),
    "bz2 bomb": delta(Tensor(8, 0, 1, False, ((Coding.BZ2, bz2.compress(bytes(1 << 20))),)), size=8),
    "lzma bomb": delta(
        Tensor(
            8,
            0,
            1,
            False,
            ((Coding.LZMA, lzma.compress(bytes(1 << 20), format=lzma.FORMAT_RAW, filters=LZMA_FILTERS)),),
        ),
        size=8,
    ),
    "scaled beyond the old": delta(scaled(at=len(OLD) - 12), size=16),
    "scaled without a block": delta(scaled(block=0), size=16),
    "scaled in a huge block": delta(scaled(block=(1 << 20) + 1), size=16),
    "scaled half an element": delta(scaled(14), size=14),
    "scaled too large": delta(scaled(5 << 20), size=5 << 20),
    "a scale too few": delta(scaled(block=1), size=16),
    "a scale too many": delta(scaled(block=4), size=16),
    "a step too few": delta(scaled(steps=b"abc"), size=16),
    "a scale of infinity": delta(scaled(scales=b"\x80\x3f\x80\x7f"), size=16),
    "a scale below zero": delta(scaled(scales=b"\x80\xbf\x00\x3f"), size=16),
    "bomb of steps": delta(Scaled(16, 0, 4, (Coding.STORED, b"\x80\x3f"), (Coding.ZSTD, ZIP)), size=16),
    "stored plane of another size": delta(Tensor(8, 0, 1, False, ((Coding.STORED, b"abc"),)), size=8),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_deltas_are_refused(name: str) -> None:
    with pytest.raises(DeltaError):
        applied(HOSTILE[name], OLD)


def test_the_refusals_have_a_control() -> None:
    steps, made = golden_steps()
    assert applied(delta(*steps, size=len(made)), OLD) == made
    assert len(applied(delta(scaled(at=len(OLD) - 16), size=16), OLD)) == 16
    assert applied(delta(Patch(1 << 20, 0, 0, ZIP), size=1 << 20), OLD) == bytes(1 << 20)


def test_a_delta_that_is_cut_anywhere_is_refused() -> None:
    whole = delta_of(OLD, OLD[:3000] + b"other" * 900 + OLD[3000:])[0]
    for length in range(len(whole)):
        with pytest.raises(DeltaError):
            applied(whole[:length], OLD)


def test_no_flipped_bit_is_more_than_an_error_or_another_tar() -> None:
    new = OLD[:3000] + b"other" * 50 + OLD[3000:]
    whole = delta_of(OLD, new)[0]
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        try:
            made = applied(damaged, OLD)
        except DeltaError:
            continue
        assert len(made) <= len(new) or made == new
    assert header_of(OLD, new).to_bytes == len(new)
