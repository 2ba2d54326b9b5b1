"""The first lines of a version in a slot: run as a program of the launcher's tree, in a fresh interpreter.

Usage: ``boot.py LIB STATE_FILE LAUNCHER WORD...``. It imports the version from ``LIB``. One that cannot be
imported, or ends badly while it is on trial, goes back to the launcher, with the reason, in the same process:
nobody has to start it again. Nothing but the standard library is imported here.
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

IMPORT_S = 60
GRACE_S = 30  # as the launcher adds it to the time of a trial
ENDED_ENV = "HEADLAND_AGENT_ENDED"
MOST_WORDS = 500


class HungError(Exception):
    """It was not imported in time."""


def on_trial(state_file: str, slot: str) -> bool:
    """Is ``slot`` still to prove itself?"""
    try:
        trial = json.loads(Path(state_file).read_bytes())["trial"]
        return trial is not None and trial["slot"] == slot
    except (OSError, ValueError, KeyError, TypeError):
        return False


def words_of(error: BaseException) -> str:
    """Return what went wrong, and where, in one line."""
    where = ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f" at {error.filename}:{error.lineno}"
    elif frames := traceback.extract_tb(error.__traceback__):
        where = f" at {frames[-1].filename}:{frames[-1].lineno}"
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(f"{type(error).__name__}: {said}{where}".split())[:MOST_WORDS]


def main() -> int:
    """Become the version in the slot; return its exit code."""
    lib, state_file, launcher, *words = sys.argv[1:]
    slot = Path(lib).parent.name
    trial = words[:1] == ["run"] and on_trial(state_file, slot)
    before = dict(os.environ)
    sys.path.insert(0, lib)
    sys.argv = [launcher, *words]
    imported, code, why = False, 1, ""
    try:
        with _in_time(trial):
            from agent.cli import main as agent  # noqa: PLC0415  the slot's own
        imported = True
        code = agent(words)
        why = f"it ended with exit code {code}" if code else ""
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        why = f"it ended with exit code {code}" if code else ""
    except BaseException as error:  # whatever it was: the version before it is to run
        if imported and not on_trial(state_file, slot):
            raise
        traceback.print_exc()
        why = words_of(error)
    if not imported or (trial and why and on_trial(state_file, slot)):
        again = before | {ENDED_ENV: f"{slot} {why}"}
        os.execve(launcher, [launcher, *words], again)  # noqa: S606  no shell is meant
    return code


@contextlib.contextmanager
def _in_time(bounded: bool) -> Iterator[None]:
    """Bound an import: an exception where Python still runs, else the process's end."""
    if not bounded:
        yield
        return
    left = signal.alarm(0)
    within = max(1, min(IMPORT_S, left - GRACE_S))

    def hung(*_: object) -> None:
        raise HungError(f"it was not imported within {within} s")

    signal.signal(signal.SIGALRM, hung)
    faulthandler.dump_traceback_later(within + 5, exit=True)
    signal.alarm(within)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(left)


if __name__ == "__main__":
    sys.exit(main())
