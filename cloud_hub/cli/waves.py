"""A rollout's waves, as people see them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table

from cloud_hub.sdk import Rollout
from cloud_hub.sdk.rollout_types import SETTLED, DeviceProgress

BAR = 30


def counts(devices: Sequence[DeviceProgress]) -> str:
    """Return how many devices are in which state."""
    states = [device.state for device in devices]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))


def by_wave(rollout: Rollout) -> list[str]:
    """Return a line for each wave, where there are several."""
    if rollout.waves == 1:
        return []
    return [
        f"  wave {wave} of {rollout.waves}: {counts(devices)}{_now(rollout, wave)}"
        for wave, devices in _waves(rollout)
    ]


def picture(rollout: Rollout) -> Table:
    """Return where a rollout is, as a table with a bar for each wave."""
    table = Table(title=f"{rollout.name}:{rollout.revision}: {rollout.state}", title_justify="left")
    for column in ("wave", "settled", "devices", ""):
        table.add_column(column)
    for wave, devices in _waves(rollout):
        settled = sum(device.state in SETTLED for device in devices)
        filled = BAR * settled // max(1, len(devices))
        bar = "\u2588" * filled + "\u2591" * (BAR - filled)
        table.add_row(str(wave), bar, counts(devices), _now(rollout, wave).removeprefix("; "))
    if rollout.reason:
        table.caption = rollout.reason
    return table


def _waves(rollout: Rollout) -> list[tuple[int, list[DeviceProgress]]]:
    return [
        (wave, [device for device in rollout.devices if device.wave == wave])
        for wave in range(1, rollout.waves + 1)
    ]


def _now(rollout: Rollout, wave: int) -> str:
    if wave != rollout.wave or rollout.state != "running" or rollout.settled_at is None:
        return ""
    left_s = rollout.bake_seconds - (datetime.now(UTC) - rollout.settled_at).total_seconds()
    return f"; watched for {max(0, left_s):.0f} s more"
