"""A wrong clock for one process: the time of day differs, and what only counts on does not.

A small library stands before the C library's (`LD_PRELOAD`); by how much the clock is wrong is in a file, and
may change while the process runs. Timeouts and sleeps are as ever, as on a device whose clock is set.
libfaketime 0.9.10 cannot do that: with the monotonic clock left alone, Python's sleeps never end under it.
"""

import datetime
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Final

_VARIABLE: Final = "HEADLAND_WRONG_CLOCK"
_SOURCE: Final = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *ahead_ns;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("HEADLAND_WRONG_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(0, sizeof *ahead_ns, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) ahead_ns = page;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *found) {
    long failed = syscall(SYS_clock_gettime, clock, found);
    if (!failed && ahead_ns && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        long long at = found->tv_sec * 1000000000LL + found->tv_nsec + *ahead_ns;
        long long rest = ((at % 1000000000LL) + 1000000000LL) % 1000000000LL;
        found->tv_sec = (at - rest) / 1000000000LL;
        found->tv_nsec = rest;
    }
    return failed;
}

time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *found, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    found->tv_sec = now.tv_sec;
    found->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


def why_not() -> str:
    """Return why there can be no wrong clock here, or nothing."""
    return "" if shutil.which("cc") else "there is no C compiler (Debian, Ubuntu: apt install gcc libc6-dev)"


class WrongClock:
    """A clock that is right until it is set; its files are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        source, self._library = folder / "wrong_clock.c", folder / "wrong_clock.so"
        self._ahead = folder / "ahead"
        source.write_text(_SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(source)], check=True)
        self._ahead.write_bytes(struct.pack("q", 0))

    @property
    def environment(self) -> dict[str, str]:
        """What a process gets that shall live by this clock."""
        return {"LD_PRELOAD": str(self._library), _VARIABLE: str(self._ahead)}

    @property
    def words(self) -> tuple[str, ...]:
        """What stands before a command that shall live by this clock."""
        return ("env", *(f"{name}={value}" for name, value in self.environment.items()))

    def set_to(self, at: datetime.datetime) -> None:
        """Set it to a time with a zone; it goes on from there."""
        self.set_ahead(at.timestamp() - time.time())

    def set_ahead(self, seconds: float) -> None:
        """Set it by so much ahead of the right time; less than 0 is behind."""
        with self._ahead.open("r+b") as file:  # one page that others have mapped: not another file
            os.pwrite(file.fileno(), struct.pack("q", round(seconds * 1e9)), 0)
