"""The system calls that a container may make: an allow-list of our own, in ``seccomp.json``.

What is on no list fails with ENOSYS, so that programs fall back to older calls (clone3 to clone,
io_uring to epoll). What is dangerous and well known fails with EPERM. By their arguments:
``clone`` without any new namespace; sockets of AF_UNIX, and TCP or UDP of AF_INET and AF_INET6
(no raw, packet, netlink, vsock or AF_ALG sockets); ``personality`` with harmless values. Only the
machine's own architecture: 32-bit calls end the process.
"""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

SECCOMP_ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}


# What a capability is of no use without, as in Docker's profile.
CALLS_OF: dict[str, str] = {
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "MKNOD": "mknod mknodat",
    "PERFMON": "perf_event_open",
    "SYSLOG": "syslog",
    "SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick mount mount_setattr"
    " move_mount open_tree perf_event_open pivot_root quotactl setdomainname sethostname setns syslog umount"
    " umount2 unshare",
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "adjtimex clock_adjtime clock_settime settimeofday",
    "SYS_TTY_CONFIG": "vhangup",
}
# Families of sockets, and their kinds where not all: AF_NETLINK; AF_PACKET, and raw ones of IPv4 and IPv6.
SOCKETS_OF: dict[str, tuple[tuple[int, int | None], ...]] = {
    "NET_ADMIN": ((16, None),),
    "NET_RAW": ((17, None), (2, 3), (10, 3)),
}


@functools.cache
def _profile() -> dict[str, Any]:
    data = Path(__file__).with_name("seccomp.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, Any])


def seccomp_profile(architecture: str, capabilities: Iterable[str] = ()) -> dict[str, object]:
    """Return the profile for ``architecture`` (Go's name) as runc takes it, with what capabilities need.

    Raises `KeyError` for an architecture that the list was not made for.
    """
    given = tuple(capabilities)
    calls = sorted({call for name in given for call in CALLS_OF.get(name, "").split()})
    sockets = [socket for name in given for socket in SOCKETS_OF.get(name, ())]
    rules = [_without(rule, calls) for rule in _profile()["syscalls"]]
    rules = [rule for rule in rules if rule["names"]] + [_socket(*socket) for socket in sockets]
    if calls:
        rules.append({"names": calls, "action": "SCMP_ACT_ALLOW"})
    return _profile() | {"architectures": [SECCOMP_ARCHITECTURES[architecture]], "syscalls": rules}


def _without(rule: dict[str, Any], calls: Iterable[str]) -> dict[str, Any]:
    return rule | {"names": [name for name in rule["names"] if name not in set(calls)]}


def _socket(family: int, kind: int | None) -> dict[str, Any]:
    rules = [{"index": 0, "value": family, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]
    if kind is not None:  # the low bits are the kind, the others flags
        rules.append({"index": 1, "value": 15, "valueTwo": kind, "op": "SCMP_CMP_MASKED_EQ"})
    return {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": rules}
