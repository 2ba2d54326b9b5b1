"""What commands tell of the agent's versions: read from the state folder, also while no daemon runs."""

from pathlib import Path

from msgspec import UNSET

from agent.selfupdate import record
from agent.selfupdate.slots import Slots
from contract.desired import Desired, ImageRef


def versions_of(state_dir: Path, desired: Desired | None) -> dict[str, str | None]:
    """Return the release that runs (none: the package), the one ordered, one on trial, why one failed."""
    try:
        state = record.read(state_dir)
    except record.UnknownFormatError:
        state = None
    slots = Slots(state_dir)
    ordered = desired.agent if desired is not None else UNSET
    failed = state.failed if state is not None else None
    if failed is not None and desired is not None and failed.generation != desired.generation:
        failed = None  # of an order that is over
    return {
        "release": slots.name(state.confirmed) or None if state is not None and state.confirmed else None,
        "ordered": ordered.name if isinstance(ordered, ImageRef) else None,
        "trial": slots.name(state.trial.slot) if state is not None and state.trial is not None else None,
        "failed": failed.reason if failed is not None else None,
    }
