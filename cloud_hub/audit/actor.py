"""Who did it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """A principal, the address that the request came from, and the request's id (both "" inside the hub)."""

    principal: str
    address: str = ""
    request_id: str = ""
