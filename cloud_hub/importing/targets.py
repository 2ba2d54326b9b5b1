"""Which devices an imported rollout is for: as people say, else as the source says, else by a tag. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cloud_hub.importing.draft import RolloutDraft, refusal
from cloud_hub.importing.errors import ImportOptionError
from cloud_hub.rollouts.manifest import Metadata
from cloud_hub.rollouts.targets import Target

TERM = re.compile(
    r"tags\.(?P<tag>[\w.-]+)\s*=\s*'(?P<value>[^']*)'|deviceId\s*=\s*'(?P<device>[^']*)'", re.ASCII
)
LONGEST = 2000
AND = re.compile(r"\s+and\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Choices:
    """What a person says beside the file: the rollout's name, its devices, and their tags."""

    name: str = ""
    devices: Sequence[str] = ()
    tags: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.name and (why := refusal(Metadata, {"name": self.name})):
            raise ImportOptionError(why, where="--name", fix="Choose another name.")

    @property
    def target(self) -> dict[str, Any] | None:
        """The target that was chosen, if one was; raises `ImportOptionError` where it cannot be."""
        found: dict[str, Any] = {}
        if self.devices:
            found["devices"] = list(self.devices)
        if self.tags:
            found["where"] = [{"tag": name, "values": [value]} for name, value in self.tags]
        why = refusal(Target, found) if found else ""
        if why:
            raise ImportOptionError(why, where="--device or --tag", fix="See `headland device list`.")
        return found or None


def aim(draft: RolloutDraft, chosen: dict[str, Any] | None, said: dict[str, Any] | None) -> list[str]:
    """Give the rollout its target; return what is to be done first where nobody said one."""
    if chosen or said:
        draft.target = chosen or said or {}
        return []
    draft.target = {"where": [{"tag": draft.name}]}
    return [
        f"headland device tag DEVICE {draft.name}=yes   # each device that it is for; or import with --device"
    ]


def by_condition(condition: str) -> dict[str, Any] | None:
    """Return the target that a condition of IoT Hub means; None where it says more than tags and one name."""
    # The split would take its time over a long one; the service itself takes no longer ones.
    if len(condition) > LONGEST:
        return None
    where: list[dict[str, Any]] = []
    devices: list[str] = []
    for term in AND.split(condition.strip()):
        match = TERM.fullmatch(term.strip())
        if match is None:
            return None
        if match["device"] is not None:
            devices.append(match["device"])
        else:
            where.append({"tag": match["tag"].lower(), "values": [match["value"]]})
    # Devices by name come on top of those by condition here, so the two cannot be joined by "and".
    if len(devices) > 1 or (devices and where):
        return None
    found: dict[str, Any] = {"devices": devices} if devices else {"where": where}
    return None if refusal(Target, found) else found
