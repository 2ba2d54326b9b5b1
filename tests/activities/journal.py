"""A kind of activity for tests: each run leaves a trace on disk that no database can hide."""

import os
import time
from pathlib import Path
from typing import Any

from cloud_hub.activities.kinds import Kind, Progress

NAME = "journal"
GIVE_UP_S = 60.0


def kind(max_attempts: int = 3) -> Kind:
    return Kind(NAME, work, max_attempts)


def work(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write a line for each step, and wait at the step named ``hold`` until it may go on.

    The effect is one file with a fixed name, so a second run leads to the same.
    """
    folder = Path(parameters["folder"])
    steps = int(parameters.get("steps", 3))
    for step in range(steps):
        progress(step / steps, f"step {step}")
        write(folder, f"step {step}")
        if step == parameters.get("hold"):
            hold(folder, progress if parameters.get("hears", True) else None)
    (folder / "effect").write_text("done")
    write(folder, "effect")
    if parameters.get("hold") == "after":
        hold(folder, None)
        write(folder, "returns")
    return {"steps": steps}


def hold(folder: Path, progress: Progress | None) -> None:
    until = time.monotonic() + GIVE_UP_S
    while not (folder / "go").exists() and time.monotonic() < until:
        if progress is not None and progress.stopped():
            progress(0.5, "unreachable: this raises")
        time.sleep(0.02)


def write(folder: Path, text: str) -> None:
    with (folder / "journal").open("a") as file:
        file.write(f"{os.getpid()} {text}\n")
        file.flush()
        os.fsync(file.fileno())


def entries(folder: Path) -> list[str]:
    """Return what was done, without who did it."""
    path = folder / "journal"
    return [line.partition(" ")[2] for line in path.read_text().splitlines()] if path.exists() else []


def runs(folder: Path) -> int:
    """Return how often the work was begun."""
    return entries(folder).count("step 0")
