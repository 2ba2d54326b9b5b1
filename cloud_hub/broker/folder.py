"""The broker's folder: held by one hub at a time, and cleared of a server left behind."""

import fcntl
import json
import os
import select
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from cloud_hub.broker.errors import BrokerStartError, FolderInUseError
from cloud_hub.pki.durable_file import write_durably

_PID_FILE = "nats-server.pid"
_STOP_TIMEOUT_S = 5.0


class FolderLock:
    """Holds a folder for this process until `release`, or until the process is gone however it ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise FolderInUseError(
                "another hub runs on this folder",
                where=str(folder),
                fix="Stop that hub, or give this one a data folder of its own.",
            ) from error

    def release(self) -> None:
        """Give the folder up; it may be called once."""
        os.close(self._descriptor)


@dataclass(frozen=True)
class ProcessIdentity:
    """One life of a process: a pid alone may name another one later."""

    pid: int
    started_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Read it from Linux's /proc (proc(5)); None where there is no such process or no /proc."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        # The command's name, in parentheses, may hold spaces; field 3 follows the last parenthesis.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in {"Z", "X"} else cls(pid, int(fields[19]), boot_id)


def remember_server(folder: Path, pid: int) -> None:
    """Note which server runs on the folder."""
    identity = ProcessIdentity.of(pid)
    if identity is not None:
        write_durably(folder / _PID_FILE, json.dumps(asdict(identity)).encode())


def forget_server(folder: Path) -> None:
    """Note that no server runs on the folder."""
    (folder / _PID_FILE).unlink(missing_ok=True)


def stop_stale_server(folder: Path, *, timeout_s: float = _STOP_TIMEOUT_S) -> bool:
    """Stop the server that a killed hub left on the folder, if it still runs; return whether it did.

    Call it with the folder's lock held. Another process that has the pid by now is left alone.
    It has ``timeout_s`` to end and as long to die of SIGKILL; blocks so long. Raises
    `BrokerStartError` where the server will not end.
    """
    noted = _noted(folder)
    if noted is None:
        return False
    try:
        descriptor = os.pidfd_open(noted.pid)
    except ProcessLookupError:
        return False
    try:
        # Asked for after the descriptor was opened: from here on it cannot come to mean another process.
        if ProcessIdentity.of(noted.pid) != noted:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], timeout_s)[0]:
                return True
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)
    raise BrokerStartError(
        f"a server left behind (pid {noted.pid}) does not end",
        where=str(folder),
        fix="End that process, then start the hub again.",
    )


def _noted(folder: Path) -> ProcessIdentity | None:
    try:
        fields = json.loads((folder / _PID_FILE).read_bytes())
        return ProcessIdentity(**fields)
    except (OSError, ValueError, TypeError):
        return None
