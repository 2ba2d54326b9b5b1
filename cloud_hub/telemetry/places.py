"""The port `Places`: which datastore a workspace's telemetry files go to, and where older ones are.

Without a datastore they are in the hub's own store, of which nothing is said here. In a datastore a file
is below `BELOW`, where nobody else writes or deletes by way of the hub.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from cloud_hub.blobs.port import ObjectStore

BELOW = "headland"
"""The folder of a datastore that telemetry keys are below."""


@dataclass(frozen=True)
class Place:
    """A datastore; ``since`` tells it from a later one of that name. Keys of ``store`` are files' keys."""

    datastore: str
    since: datetime
    store: ObjectStore


class Places(Protocol):
    """Datastores as places of telemetry files."""

    def chosen(self) -> dict[str, str]:
        """Return the datastore of each workspace whose telemetry goes to one."""

    def place_of(self, workspace: str) -> Place | None:
        """Return where a workspace's new files go; none for the hub's own store.

        Raises `HubError` where the datastore cannot be used just now.
        """

    def open(self, workspace: str, datastore: str) -> ObjectStore:
        """Return where a workspace's files in a datastore are; raises as `place_of`."""

    def is_there(self, session: Session, workspace: str, place: Place) -> bool:
        """Is the datastore still attached, as ``session`` sees it?"""


class NoPlaces:
    """A hub without datastores: all is in its own store."""

    def chosen(self) -> dict[str, str]:
        """None has chosen one."""
        return {}

    def place_of(self, workspace: str) -> Place | None:  # noqa: ARG002
        """The hub's own store."""
        return None

    def open(self, workspace: str, datastore: str) -> ObjectStore:  # noqa: ARG002
        """There is none."""
        raise LookupError(datastore)

    def is_there(self, session: Session, workspace: str, place: Place) -> bool:  # noqa: ARG002
        """There is none."""
        return False
