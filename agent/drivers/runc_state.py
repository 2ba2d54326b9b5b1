"""How runc's containers are, read from where runc keeps it: ``ROOT/<id>/state.json``.

`runc list` reads the same and judges it in the same way (runc's `libcontainer`, ``runType``): a container
runs while the process that it began with is there, known by its number and by when it started. A call of
the command costs 10 ms of a processor, and the agent looks every two seconds.
"""

from pathlib import Path

import msgspec

from agent.drivers.proc import stat_of
from agent.drivers.runc_command import ListedContainer, RuncCommand

STATE_FILE = "state.json"
NOT_YET_STARTED = "exec.fifo"  # there from `runc create` until `runc start`


class RuncByState(RuncCommand):
    """``runc``, whose list of containers is read where runc keeps it."""

    def list(self) -> dict[str, ListedContainer]:
        """Return the containers below this root, by id; asks runc itself where a state cannot be read."""
        try:
            return read_states(self._root)
        except UnknownStateError:
            return super().list()


class UnknownStateError(Exception):
    """A state that is not as runc 1.0 to 1.3 writes it: then runc itself is to be asked."""


class _State(msgspec.Struct, frozen=True, kw_only=True):
    init_process_pid: int
    init_process_start: int


_decoder = msgspec.json.Decoder(_State)


def read_states(root: Path) -> dict[str, ListedContainer]:
    """Return the containers below ``root``, by id; one that is paused counts as running.

    What runc left half made has no state, and is not listed by runc either. Raises `UnknownStateError`.
    """
    found = {}
    for folder in root.iterdir() if root.exists() else ():
        try:
            state = _decoder.decode((folder / STATE_FILE).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, msgspec.DecodeError) as error:
            raise UnknownStateError(folder.name) from error
        found[folder.name] = _listed(folder, state)
    return found


def _listed(folder: Path, state: _State) -> ListedContainer:
    now = stat_of(state.init_process_pid)
    if now is None or not now.alive or now.started_ticks != state.init_process_start:
        return ListedContainer(id=folder.name, pid=0, status="stopped")
    status = "created" if (folder / NOT_YET_STARTED).exists() else "running"
    return ListedContainer(id=folder.name, pid=state.init_process_pid, status=status)
