"""A remote object as a file that is read forward, one range a request."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 8 << 20


def reader(fetch: Callable[[int, int], bytes], size: int, offset: int) -> BinaryIO:
    """Return a file over ``fetch(start, end)``, which gives the bytes from start up to, not with, end.

    A block in memory, and a request with an end in sight for each: a slow reader holds no
    connection open, and a request that broke off is made again for its block alone.
    """
    return io.BufferedReader(_Ranges(fetch, size, offset), BLOCK_BYTES)


class _Ranges(io.RawIOBase):
    def __init__(self, fetch: Callable[[int, int], bytes], size: int, offset: int) -> None:
        self._fetch = fetch
        self._size = size
        self._at = offset

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        end = min(self._at + min(len(view), BLOCK_BYTES), self._size)
        if end <= self._at:
            return 0
        data = self._fetch(self._at, end)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def readall(self) -> bytes:
        # The base class would ask for 8 KiB at a time.
        found = bytearray()
        while block := self.read(BLOCK_BYTES):
            found += block
        return bytes(found)
