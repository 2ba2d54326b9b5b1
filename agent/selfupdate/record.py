"""The state of the agent's versions on disk: ``STATE_DIR/agent/versions.json``, and the slots beside it.

The launcher of one version reads what the agent of another wrote: format 1 is added to, never changed. A
format that is not known here is left alone, and the packaged version runs.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from agent.durable import write_durably
from agent.selfupdate.choice import Failed, State, Trial

FORMAT: Final = 1


class UnknownFormatError(Exception):
    """The file was written by a version that this one knows nothing of."""


def folder_of(state_dir: Path) -> Path:
    """Return where all of this is."""
    return state_dir / "agent"


def file_of(state_dir: Path) -> Path:
    """Return the file of the state."""
    return folder_of(state_dir) / "versions.json"


def slots_of(state_dir: Path) -> Path:
    """Return the folder of the slots; each is whole, or has a name that begins with a dot."""
    return folder_of(state_dir) / "slots"


def whole_slots(state_dir: Path) -> frozenset[str]:
    """Return the slots that are on disk."""
    try:
        return frozenset(path.name for path in slots_of(state_dir).iterdir() if not path.name.startswith("."))
    except OSError:
        return frozenset()


def read(state_dir: Path) -> State | None:
    """Return the state; None where there is none, or none that can be read. Raises `UnknownFormatError`."""
    try:
        told = json.loads(file_of(state_dir).read_bytes())
        if told["format"] != FORMAT:
            raise UnknownFormatError
        return _state(told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(state_dir: Path, state: State) -> None:
    """Write the state durably; raises `OSError`."""
    folder_of(state_dir).mkdir(exist_ok=True)
    write_durably(file_of(state_dir), json.dumps({"format": FORMAT, **asdict(state)}).encode(), mode=0o600)


def _state(told: dict[str, Any]) -> State:
    trial, failed = told.get("trial"), told.get("failed")
    return State(
        package=str(told["package"]),
        confirmed=str(told["confirmed"]),
        previous=str(told.get("previous", "")),
        trial=None
        if trial is None
        else Trial(
            slot=str(trial["slot"]),
            version=str(trial.get("version", "")),
            generation=int(trial["generation"]),
            tries_left=int(trial["tries_left"]),
            deadline_s=float(trial.get("deadline_s", Trial.deadline_s)),
            needs_hub=bool(trial.get("needs_hub", True)),
            modules=tuple(map(str, trial.get("modules", ()))),
        ),
        failed=None
        if failed is None
        else Failed(
            slot=str(failed["slot"]),
            version=str(failed.get("version", "")),
            generation=int(failed["generation"]),
            reason=str(failed["reason"]),
        ),
        settled=int(told.get("settled", 0)),
        new_package=bool(told.get("new_package", False)),
    )
