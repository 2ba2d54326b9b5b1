"""What a process that runs for months would take later, it takes when it starts; large pieces are given back.

CPython has one table of names in use: attributes, and each part of a path. A name that is gone leaves a used
place in it, and where there are no more places the table is made anew: of three times the names in use, which
for the agent's 18,000 is twice the size, 532 KiB more, after 3,900 names of files, processes and containers.
glibc maps large pieces of memory for themselves, but raises what it calls large with each that is freed: then
the tables after that leave holes in the heap.
"""

import ctypes
import sys
from typing import Final

PASSING_NAMES: Final = 1 << 15
M_MMAP_THRESHOLD: Final = -3
LARGE_BYTES: Final = 128 * 1024
"""glibc's own first value, see mallopt(3): once it was set, it stays."""


def settle() -> None:
    """Map large pieces for themselves from now on, and let the table of names have its size."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another library of C has none
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    for number in range(PASSING_NAMES):
        sys.intern(f"passing-{number}")
