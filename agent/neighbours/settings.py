"""What an owner may set about neighbours."""

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from contract.ids import DEVICE_ID

LEAST_BYTES_PER_S = 1024
DeviceId = Annotated[str, Meta(pattern=rf"^{DEVICE_ID.pattern}\Z")]


class Neighbours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``listen``: ``host:port`` where layers are given to the devices in ``allow``; empty: nowhere.

    ``cache_bytes``: of the blobs kept for them. ``wait_s``: the longest that a pull of our own waits for a
    layer that a neighbour may have soon.
    """

    listen: str = ""
    allow: tuple[DeviceId, ...] = ()
    cache_bytes: Annotated[int, Meta(ge=1_000_000)] = 1024**3
    max_bytes_per_s: Annotated[int, Meta(ge=0)] = 0
    wait_s: Annotated[float, Meta(ge=0, le=86_400)] = 600.0

    def __post_init__(self) -> None:
        """Raise ValueError for an address that is none, or one that nobody may read at."""
        if 0 < self.max_bytes_per_s < LEAST_BYTES_PER_S:
            raise ValueError(f"max_bytes_per_s is 0 (no bound) or at least {LEAST_BYTES_PER_S}")
        if not self.listen:
            return
        if not all(self.address):
            raise ValueError("listen is host:port, an IPv6 address in brackets")
        if not self.allow:
            raise ValueError("listen needs allow: the ids of the devices that may read")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of ``listen``; an empty host or 0 where it is not as it should be."""
        try:
            parts = urlsplit(f"//{self.listen}")
            plain = parts.netloc == self.listen and "@" not in self.listen
            return (parts.hostname or "", parts.port or 0) if plain else ("", 0)
        except ValueError:
            return "", 0
