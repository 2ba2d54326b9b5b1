"""The port `Share`: is this work ours just now? And the answer of a hub that is alone."""

from datetime import UTC, datetime
from typing import Protocol

import msgspec

from cloud_hub.version import VERSION


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A hub process; ``work`` is what it does for all, ``here`` that it has been seen lately."""

    address: str
    release: str
    started_at: datetime
    seen_at: datetime
    here: bool
    work: tuple[str, ...]


class Share(Protocol):
    """What only one hub may do at a time."""

    def holds(self, work: str) -> bool:
        """Is it this hub's to do, now?"""

    def members(self) -> list[Member]:
        """Return all hub processes by address."""

    async def keep(self) -> None:
        """Go on holding what this hub holds, until cancelled."""

    def leave(self) -> None:
        """Let the others have it all."""


class Alone:
    """One hub, which does everything."""

    def __init__(self, address: str, work: tuple[str, ...]) -> None:
        self._address, self._work = address, work
        self._started_at = datetime.now(UTC)

    def holds(self, work: str) -> bool:
        """It is."""
        return work in self._work

    def members(self) -> list[Member]:
        """Return this one."""
        return [
            Member(
                address=self._address,
                release=VERSION,
                started_at=self._started_at,
                seen_at=datetime.now(UTC),
                here=True,
                work=self._work,
            )
        ]

    async def keep(self) -> None:
        """Nothing runs out."""

    def leave(self) -> None:
        """There is nobody."""
