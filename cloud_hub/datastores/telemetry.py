"""Datastores as places of telemetry: the port `cloud_hub.telemetry.places.Places`, and the choice of one.

A folder may be a share that is not mounted just now. What is written then would lie under the share once it
is back, so each place gets a mark when it is chosen, and a folder without it is not used.
"""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.blobs.below import StoreBelow
from cloud_hub.blobs.errors import StoreError
from cloud_hub.blobs.opening import Patience
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.datastores.rows import DatastoreRow
from cloud_hub.datastores.service import Datastores
from cloud_hub.db.engine import Database
from cloud_hub.secrets.text import SecretText
from cloud_hub.telemetry.files import PREFIX
from cloud_hub.telemetry.places import BELOW, Place

PATIENCE = Patience(request_s=30.0, tries=2, all_tries_s=40.0, longest_pause_s=1.0)
"""Shorter than for people's files: batches wait safely in the database."""
MARK = f"{PREFIX}/README.txt"
TEXT = b"Telemetry of a Headland hub, whose database names the files that count. Leave them here.\n"


class TelemetryStores:
    """The port `Places` over all workspaces' datastores."""

    def __init__(self, database: Database, datastores: Datastores) -> None:
        self._database = database
        self.datastores = datastores

    def chosen(self) -> dict[str, str]:
        """Return the datastore of each workspace whose telemetry goes to one."""
        query = select(DatastoreRow.workspace, DatastoreRow.name).where(DatastoreRow.is_telemetry)
        with self._database.reading() as session:
            return {row[0]: row[1] for row in session.execute(query).all()}

    def place_of(self, workspace: str) -> Place | None:
        """Return where new files go; raises `HubError` where it cannot be used just now."""
        query = select(DatastoreRow).where(DatastoreRow.workspace == workspace, DatastoreRow.is_telemetry)
        with self._database.reading() as session:
            row = session.scalars(query).one_or_none()
        return Place(row.name, row.created_at, self._open(row)) if row is not None else None

    def open(self, workspace: str, datastore: str) -> ObjectStore:
        """Return where files in a datastore are."""
        return self._open(self.datastores.get(workspace, datastore))

    def is_there(self, session: Session, workspace: str, place: Place) -> bool:
        """Is the very datastore still attached?"""
        row = session.get(DatastoreRow, (workspace, place.datastore))
        return row is not None and row.created_at == place.since

    def choose(self, workspace: str, name: str | None, by: Actor) -> None:
        """Let new files go to a datastore, tried first, or (none) to the hub's own store.

        Raises `NotFoundError`, `StoreError`, and as `Datastores.open`.
        """
        row = self.datastores.get(workspace, name) if name is not None else None
        if row is not None:
            self.mark(row)
        self.datastores.choose_for_telemetry(workspace, row, by)

    def mark(self, row: DatastoreRow, secret: SecretText | None = None) -> None:
        """Write the mark into a datastore, which also shows that it takes files; raises `StoreError`."""
        try:
            self._below(row, secret).put_bytes(MARK, TEXT)
        except OSError as error:
            raise StoreError(
                f"the datastore does not take files ({error.strerror})",
                where=row.name,
                fix="Check the folder's rights and space.",
            ) from error

    def _open(self, row: DatastoreRow) -> ObjectStore:
        location = self.datastores.location_of(row)
        if location is not None and location.scheme == "file":
            _require_mark(row, Path(location.bucket))
        return self._below(row)

    def _below(self, row: DatastoreRow, secret: SecretText | None = None) -> ObjectStore:
        return StoreBelow(self.datastores.open_row(row, PATIENCE, secret), BELOW)


def _require_mark(row: DatastoreRow, folder: Path) -> None:
    try:
        there = (folder / BELOW / MARK).is_file()
    except OSError as error:
        raise StoreError(
            f"the folder of datastore {row.name} cannot be read ({error.strerror})",
            where=str(folder),
            fix="Look at the share.",
        ) from error
    if not there:
        raise StoreError(
            f"the folder of datastore {row.name} is not what it was: {BELOW}/{MARK} is not there",
            where=str(folder),
            fix="Mount the share again, or put the file back.",
        )
