"""What a child gives up: new privileges, capabilities, the network, and writing elsewhere (Landlock)."""

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Sequence
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38
CLONE_NEWNET: Final = 0x40000000
CAPABILITIES_VERSION: Final = 0x20080522
# Of an agent that is root: its state folder may be another user's.
KEPT_CAPABILITIES: Final = 1 << 1  # CAP_DAC_OVERRIDE

# Numbers of system calls from here on are the same on all architectures.
SYS_CREATE_RULESET: Final = 444
SYS_ADD_RULE: Final = 445
SYS_RESTRICT_SELF: Final = 446
RULE_PATH_BENEATH: Final = 1
WRITE_FILE, REMOVE_DIR, REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
MAKE_DIR, MAKE_REG, MAKE_SYM, REFER, TRUNCATE = 1 << 7, 1 << 8, 1 << 12, 1 << 13, 1 << 14
READING: Final = 1 << 2 | 1 << 3
IN_FOLDERS: Final = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE
ON_FILES: Final = WRITE_FILE | TRUNCATE
LEAST_ABI: Final = 2  # before it, hard links between folders could not be allowed
BITS_OF_ABI: Final = {2: 14, 3: 15, 4: 15}
BITS: Final = 16
TCP: Final = 3
SCOPES: Final = 3

_libc = ctypes.CDLL(None, use_errno=True)


def end_with_parent(parent: int) -> None:
    """Be killed when the agent dies; end now if it is dead."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(1)


def give_up(*, folders: Sequence[str], files: Sequence[str]) -> None:
    """Keep reading, and writing below ``folders`` and to ``files``; nothing else that the kernel can take."""
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    _libc.unshare(CLONE_NEWNET)  # for root alone, and where the kernel has it
    _write_only_to(folders, files)
    _drop_capabilities()
    os.umask(0o077)


def landlock_abi() -> int:
    """Return the version of Landlock that the kernel has; 0: none."""
    return max(0, int(_libc.syscall(SYS_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def _write_only_to(folders: Sequence[str], files: Sequence[str]) -> None:
    abi = landlock_abi()
    if abi < LEAST_ABI:
        return
    handled = (1 << BITS_OF_ABI.get(abi, BITS)) - 1 & ~READING
    attributes = struct.pack("=QQQ", handled, TCP if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _check(_libc.syscall(SYS_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0), "landlock")
    for paths, rights in ((folders, IN_FOLDERS), (files, ON_FILES)):
        for path in paths:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", rights & handled, place)
            _check(_libc.syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0), "landlock")
            os.close(place)
    _check(_libc.syscall(SYS_RESTRICT_SELF, ruleset, 0), "landlock")
    os.close(ruleset)


def _drop_capabilities() -> None:
    header = struct.pack("=Ii", CAPABILITIES_VERSION, 0)
    held = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, held), "capget")
    effective, permitted, _, *_ = struct.unpack("=6I", held.raw)
    kept = struct.pack("=6I", effective & KEPT_CAPABILITIES, permitted & KEPT_CAPABILITIES, 0, 0, 0, 0)
    _check(_libc.capset(header, kept), "capset")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno() or errno.EINVAL
        raise OSError(number, os.strerror(number), what)
    return int(result)
