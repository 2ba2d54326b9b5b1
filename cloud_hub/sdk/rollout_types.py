"""What the hub says of rollouts, typed. Unknown fields are skipped, so an older SDK reads a newer hub."""

from datetime import datetime

import msgspec

SETTLED = {"running", "failed", "superseded", "returned", "away"}


class DeviceProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Where one device of a rollout is; its wave counts from 1, and it has no generation before its turn."""

    device: str
    wave: int
    generation: int | None
    state: str
    reason: str = ""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout in one revision: where it stands, in which of its waves (from 1), and why there."""

    name: str
    revision: int
    images: dict[str, str]
    created_by: str
    created_at: datetime
    state: str
    wave: int
    waves: int
    settled_at: datetime | None
    bake_seconds: float
    reason: str
    devices: list[DeviceProgress]

    @property
    def settled(self) -> bool:
        """Has it come to an end, or to where a person has to say how it goes on, and every device with it?"""
        if self.state in {"running", "aborting"}:
            return False
        return all(device.state in SETTLED | {"pending"} for device in self.devices)


class RolloutEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a rollout, when, in which wave (from 1), and who did it where it was a person."""

    at: datetime
    state: str
    wave: int
    by: str | None
    words: str


class ChangePlanned(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of one module: start, update, settings, stop or keep; its image now and then."""

    module: str
    kind: str
    now: str
    then: str


class DevicePlanned(msgspec.Struct, frozen=True, kw_only=True):
    """What one device would get; ``replaces`` is the rollout that it has now, or an empty text."""

    device: str
    wave: int
    generation: int
    replaces: str
    changed: bool
    changes: list[ChangePlanned]


class RolloutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest would do, if it were applied now."""

    name: str
    revision: int
    devices: list[DevicePlanned]
