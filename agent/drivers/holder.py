"""A program: starts one container, then holds its exit code until whoever may read it lets go.

The kernel keeps the exit code of an ended process until its parent takes it. An agent may be killed, and
then nobody would. So the parent is this program, which ends as ``sleep`` (about 0.1 MB) and never takes it:
anyone with the right to may read it in ``/proc/<pid>/stat`` of the container's process.

Words: ``orphans`` or ``child``, the file of the record, the file with the id of the container's process, the
path of ``sleep``, then the command. With ``orphans`` the command leaves the process behind, as ``runc run
--detach`` does, and it becomes ours; its exit code other than 0 is ours too. With ``child`` the command is
the process. Nothing of the agent is imported: the interpreter starts without its packages.
"""

import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36
LONGEST_S = "2147483647"
# What this interpreter ignores, and its child is not to.
IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)


def main(kind: str, record: str, pid_file: str, sleep: str, *command: str) -> int:
    """Start ``command`` and become ``sleep``; return only after an error."""
    if kind == "orphans":
        _adopt_orphans()
    child = os.posix_spawn(command[0], command, os.environ, setsigdef=IGNORED, setsid=kind == "child")
    if kind == "orphans":
        # Of this child alone: another one that ended is the container, and is to stay as it is.
        _, status = os.waitpid(child, 0)
        if status != 0:
            return 255 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        child = int(_read(pid_file))
    _write(record, child)
    os.chdir("/")
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.closerange(3, 1024)
    os.execve(sleep, ["sleep", LONGEST_S], {})  # noqa: S606  no shell is the point
    return 255


def _adopt_orphans() -> None:
    import ctypes  # noqa: PLC0415  it costs time, and only runc needs it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot adopt orphans")


def _write(record: str, child: int) -> None:
    """Say who we are, in which life of the machine, and whose exit code is held; whole or not at all."""
    text = _read("/proc/self/stat") + _read("/proc/sys/kernel/random/boot_id") + f"{child}\n"
    descriptor = os.open(f"{record}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(descriptor, text.encode())
    os.rename(f"{record}.new", record)  # noqa: PTH104  without pathlib it starts sooner


def _read(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    text = os.read(descriptor, 4096).decode(errors="replace")
    os.close(descriptor)
    return text


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
