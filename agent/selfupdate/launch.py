"""What the launcher hands to the version that it starts, in the environment."""

import json
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from typing import Final

LAUNCH_ENV: Final = "HEADLAND_AGENT_LAUNCH"
ENDED_ENV: Final = "HEADLAND_AGENT_ENDED"
"""What `boot` hands to the launcher: the slot that came to nothing, a blank, and why."""


@dataclass(frozen=True)
class Launch:
    """The launcher's program, the slot that it started (empty: its own tree), and what names its own tree."""

    program: str
    slot: str
    package: str

    def put(self, environment: MutableMapping[str, str]) -> None:
        """Write it there."""
        environment[LAUNCH_ENV] = json.dumps(asdict(self))


def take(environment: MutableMapping[str, str]) -> Launch | None:
    """Return it and take it out: no child is to have it. None where no launcher started this agent."""
    try:
        told = json.loads(environment.pop(LAUNCH_ENV, "null"))
        return Launch(str(told["program"]), str(told["slot"]), str(told["package"]))
    except (ValueError, KeyError, TypeError):
        return None
