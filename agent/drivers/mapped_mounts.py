"""User namespaces, and mounts through which files belong to their users: mount_setattr(2), Linux 5.12.

Through a mapped mount, what belongs to user 5 on disk belongs to the device's user ``first + 5``, who is 5
in the container, and what that one writes is 5's on disk. The file system has to know of it: ext4, XFS, btrfs
and FAT do, overlayfs for its layers since 5.19, a tmpfs since 6.3; devtmpfs, sysfs and many over a network do
not.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from agent.drivers.id_ranges import SIZE, IdRange

# The same on every architecture.
OPEN_TREE: Final = 428
MOVE_MOUNT: Final = 429
MOUNT_SETATTR: Final = 442

AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
OPEN_TREE_CLONE: Final = 1
MOVE_MOUNT_F_EMPTY_PATH: Final = 4
RDONLY: Final = 0x1
NOSUID: Final = 0x2
NODEV: Final = 0x4
NOEXEC: Final = 0x8
IDMAP: Final = 0x100000

# The last: what is mapped already, or was mounted in another user namespace.
REFUSALS: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
NAMESPACE_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.001
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

_libc = ctypes.CDLL(None, use_errno=True)


class UnmappableError(Exception):
    """The kernel does not map the users of this file system, or those of none."""


class _Attributes(ctypes.Structure):
    """``struct mount_attr``."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


@contextlib.contextmanager
def namespace_of(ids: IdRange) -> Iterator[int]:
    """Yield a descriptor of a user namespace with the range ``ids``; a mount keeps it as long as it needs.

    Raises `OSError` where the kernel makes none.
    """
    unshare, cat = (shutil.which(name, path=ENVIRONMENT["PATH"]) for name in ("unshare", "cat"))
    if unshare is None or cat is None:
        raise FileNotFoundError(errno.ENOENT, "there is no unshare or no cat on the PATH")
    # It waits in its namespace until its input ends.
    with subprocess.Popen(
        [unshare, "--user", cat],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as waiting:
        try:
            descriptor = _namespace_of_process(waiting.pid, ids, waiting)
        finally:
            waiting.kill()
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def mount_mapped(source: Path | int, place: Path, namespace: int, *, read_only: bool) -> None:
    """Show the file or folder ``source`` (a path, or a descriptor) at ``place``, by the ids of ``namespace``.

    ``place`` is a file or folder likewise. No set-user-id and no device node takes effect there. Raises
    `UnmappableError`, and `OSError`.
    """
    at, name = (source, b"") if isinstance(source, int) else (AT_FDCWD, os.fsencode(source))
    tree = _call("open_tree", OPEN_TREE, at, name, OPEN_TREE_CLONE | os.O_CLOEXEC | AT_EMPTY_PATH)
    try:
        # What a runtime sets for a bind of these options; it may not clear what others have set.
        attributes = _Attributes(
            attr_set=IDMAP | NOSUID | NODEV | (RDONLY if read_only else 0),
            attr_clr=NOEXEC | (0 if read_only else RDONLY),
            userns_fd=namespace,
        )
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        _call("mount_setattr", MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, ctypes.byref(attributes), size)
        target = os.fsencode(place)
        _call("move_mount", MOVE_MOUNT, tree, b"", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def _namespace_of_process(pid: int, ids: IdRange, process: subprocess.Popen[bytes]) -> int:
    folder = Path("/proc", str(pid))
    ours = Path("/proc/self/ns/user").readlink()
    deadline = time.monotonic() + NAMESPACE_TIMEOUT_S
    while (folder / "ns/user").readlink() == ours:
        if process.poll() is not None or time.monotonic() > deadline:
            raise OSError(errno.EPERM, f"the kernel makes no user namespace: {_first_words(process.stderr)}")
        time.sleep(POLL_S)
    for name in ("uid_map", "gid_map"):
        (folder / name).write_text(f"0 {ids.first} {SIZE}")
    return os.open(folder / "ns/user", os.O_RDONLY | os.O_CLOEXEC)


def _first_words(output: IO[bytes] | None) -> str:
    if output is None:
        return ""
    os.set_blocking(output.fileno(), False)
    return " ".join((output.read(300) or b"").decode(errors="replace").split())


def _call(name: str, number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result >= 0:
        return result
    code = ctypes.get_errno()
    if (name == "mount_setattr" and code in REFUSALS) or code == errno.ENOSYS:
        raise UnmappableError(f"the kernel cannot map the users of a mount ({name}: {os.strerror(code)})")
    raise OSError(code, f"{name}: {os.strerror(code)}")
