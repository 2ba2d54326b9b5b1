"""A download writes behind what arrives: in order, also when the line is cut, and tells what fails."""

import errno
import hashlib
import io

import pytest

from cloud_hub.sdk.transfer import BEHIND_CHUNKS, WriteBehind

CHUNKS = [bytes([number]) * 100_000 for number in range(3 * BEHIND_CHUNKS)]


class Full(io.BytesIO):
    """A file on a disk that is full for a moment, after its first chunk."""

    writes = 0

    def write(self, data: object, /) -> int:
        """Fail the second time."""
        self.writes += 1
        if self.writes == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)  # type: ignore[arg-type]


def take_all(target: io.BytesIO, chunks: list[bytes], *, cut: bool = False) -> str:
    """Write chunks behind; return the digest. ``cut``: the block ends by `ConnectionError`."""
    seen = hashlib.sha256()
    with WriteBehind(target, seen) as behind:
        for chunk in chunks:
            behind.take(chunk)
        if cut:
            raise ConnectionError
    return seen.hexdigest()


def test_chunks_are_written_and_hashed_in_their_order() -> None:
    target = io.BytesIO()
    assert take_all(target, CHUNKS) == hashlib.sha256(b"".join(CHUNKS)).hexdigest()
    assert target.getvalue() == b"".join(CHUNKS)


def test_what_was_taken_is_written_when_the_block_fails() -> None:
    target = io.BytesIO()
    with pytest.raises(ConnectionError):
        take_all(target, CHUNKS, cut=True)
    assert target.getvalue() == b"".join(CHUNKS)


@pytest.mark.parametrize("chunks", [CHUNKS[:2], CHUNKS])
def test_a_full_disk_is_told_and_leaves_no_gap(chunks: list[bytes]) -> None:
    full = Full()
    with pytest.raises(OSError, match="No space"):
        take_all(full, chunks)
    assert full.getvalue() == chunks[0]
