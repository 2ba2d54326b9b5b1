"""Enrols simulated devices at a running hub, as the agent enrols; those that have been are left alone."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from agent.identity.enrol import enrol
from agent.identity.store import load
from cloud_hub.sdk import Workspace
from simulators.fleet.errors import FleetError

AT_ONCE: Final = 8


def names(prefix: str, devices: int) -> list[str]:
    """Return the names of so many devices, in their order."""
    return [f"{prefix}-{number:05d}" for number in range(1, devices + 1)]


def enrol_all(
    workspace: Workspace, hub: str, folder: Path, devices: Sequence[str], told: Callable[[int, int], None]
) -> int:
    """Give each device that has none an identity in ``folder/name``; return how many that were.

    ``told(done, all)`` is called now and then, from this thread. Raises `FleetError` where the folder is of
    another hub, and what the agent and the SDK raise.
    """
    missing = [name for name in devices if not (folder / name / "device.json").exists()]
    for name in devices:
        if name not in missing:
            _require_same_hub(folder / name, hub)
            break
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="enrol") as pool:
        waiting = [pool.submit(_enrol, workspace, folder, name) for name in missing]
        try:
            for done, one in enumerate(as_completed(waiting), 1):
                one.result()
                told(done, len(missing))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(missing)


def _enrol(workspace: Workspace, folder: Path, name: str) -> None:
    enrol(workspace.invite_device(name), folder / name)


def _require_same_hub(folder: Path, hub: str) -> None:
    known = load(folder).facts.hub
    if known != hub:
        raise FleetError(
            f"the devices here are of the hub at {known}",
            where=str(folder.parent),
            fix="Give another --folder for this hub, or log in to that one.",
        )
