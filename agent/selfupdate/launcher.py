"""What `headland-agent` is: it chooses the version of the agent, and becomes it. It hardly ever changes.

Nothing of a version's libraries is imported here, and the process stays the same: its number, what systemd
watches, and its children, the containers. A version on trial has a time in which it is to prove itself, an
alarm of the kernel's: it outlives the change of the program, and needs no process that waits.
"""

import argparse
import fcntl
import json
import os
import signal
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.selfupdate import record
from agent.selfupdate.choice import PACKAGED, choose, confirmed_one, ended
from agent.selfupdate.launch import ENDED_ENV, Launch

DEFAULT_STATE_DIR: Final = "/var/lib/headland-agent"
LIB: Final = Path(__file__).resolve().parents[2]
GRACE_S: Final = 30
"""A version says itself why it is not healthy in time; the alarm is for one that does not."""
LOCK_WAIT_S: Final = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Become the version that is to run; return only where that is the one of the launcher's own tree."""
    words = list(sys.argv[1:] if argv is None else argv)
    state_dir = state_dir_of(words)
    package = package_of(LIB)
    slot, trial_s = _chosen(words, state_dir, package)
    launch = Launch(str(Path(sys.argv[0]).absolute()), slot, package)
    launch.put(os.environ)
    if slot != PACKAGED:
        lib = record.slots_of(state_dir) / slot / "lib"
        boot = Path(__file__).with_name("boot.py")
        if trial_s:
            signal.alarm(int(trial_s) + GRACE_S)
        sys.stdout.flush()
        # Its own libraries and Python's alone: no package of the system takes the place of what it lacks.
        program = [sys.executable, "-ISB", str(boot), str(lib), str(record.file_of(state_dir))]
        os.execv(sys.executable, [*program, launch.program, *words])  # noqa: S606  no shell is meant
    from agent.cli import main as agent  # noqa: PLC0415  only the version that runs is loaded

    return agent(words)


def state_dir_of(words: Sequence[str]) -> Path:
    """Return the state folder as the agent will: of the command line, of the settings, or the default.

    What is wrong with either is the agent's to say.
    """
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--config")
    parser.add_argument("--state-dir")
    try:
        known, _ = parser.parse_known_args(list(words))
        told = known.state_dir
        if told is None and known.config is not None:
            told = tomllib.loads(Path(known.config).read_text()).get("state_dir")
    except (argparse.ArgumentError, OSError, ValueError):
        told = None
    return Path(told if isinstance(told, str) and told else DEFAULT_STATE_DIR).absolute()


def package_of(lib: Path) -> str:
    """Return what names the tree at ``lib``: the digest that its builder wrote, else where it is."""
    try:
        return str(json.loads((lib / "release.json").read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"not packaged: {lib}"


def _chosen(words: Sequence[str], state_dir: Path, package: str) -> tuple[str, float]:
    """Return the slot, and the seconds that it has to prove itself; 0: it need not."""
    slot, _, why = os.environ.pop(ENDED_ENV, "").partition(" ")
    signal.alarm(0)
    try:
        state = record.read(state_dir)
    except record.UnknownFormatError:
        return PACKAGED, 0.0
    if state is None:
        return PACKAGED, 0.0
    whole = record.whole_slots(state_dir)
    if words[:1] != ["run"] or _held(state_dir):
        # Another command, or beside a daemon that works: it changes nothing, and tries nothing.
        usable = state.package == package and not slot
        return (confirmed_one(state, whole)[1] if usable else PACKAGED), 0.0
    known = ended(state, slot, why) if slot else state
    after, chosen = choose(known, package, whole)
    try:
        if after != state:
            record.write(state_dir, after)
    except OSError:
        # A try that is not counted would not be bounded.
        chosen = confirmed_one(state, whole)[1] if state.package == package else PACKAGED
        return (chosen if chosen != slot else PACKAGED), 0.0
    trial = after.trial
    return chosen, trial.deadline_s if trial is not None and trial.slot == chosen else 0.0


def _held(state_dir: Path) -> bool:
    """Does another agent work on the state folder?"""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            with (state_dir / "agent.lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return True
            time.sleep(0.02)
        except OSError:
            return False


if __name__ == "__main__":
    sys.exit(main())
