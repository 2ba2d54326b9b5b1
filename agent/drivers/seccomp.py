"""The system calls that a container may make: an allow-list of our own, in ``seccomp.json``.

What is on no list fails with ENOSYS, so that programs fall back to older calls (clone3 to clone,
io_uring to epoll). What is dangerous and well known fails with EPERM. By their arguments:
``clone`` without any new namespace; sockets of AF_UNIX, and TCP or UDP of AF_INET and AF_INET6
(no raw, packet, netlink, vsock or AF_ALG sockets); ``personality`` with harmless values. Only the
machine's own architecture: 32-bit calls end the process.
"""

import functools
from pathlib import Path

import msgspec

SECCOMP_ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}


@functools.cache
def seccomp_profile(architecture: str) -> dict[str, object]:
    """Return the profile for ``architecture`` (Go's name) as runc takes it.

    Raises `KeyError` for an architecture that the list was not made for.
    """
    data = Path(__file__).with_name("seccomp.json").read_bytes()
    profile = msgspec.json.decode(data, type=dict[str, object])
    return profile | {"architectures": [SECCOMP_ARCHITECTURES[architecture]]}
