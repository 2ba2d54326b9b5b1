"""Datastores of all workspaces: attach, list, open, and which one telemetry goes to."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.below import SharedFolderStore, StoreBelow
from cloud_hub.blobs.credentials import check_credentials
from cloud_hub.blobs.errors import StoreError
from cloud_hub.blobs.location import Location
from cloud_hub.blobs.opening import Patience, open_store
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.datastores.files import RESERVED
from cloud_hub.datastores.places import OWN, check_place
from cloud_hub.datastores.rows import DatastoreRow
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, DatastoreInUseError, InvalidInputError, NotFoundError
from cloud_hub.secrets.service import Secrets
from cloud_hub.secrets.text import SecretText
from cloud_hub.settings import Settings
from cloud_hub.telemetry.rows import FileRow
from contract.ids import check_name

DEFAULT = "default"
PREFIX = "datastores"
FORM = 'Store JSON such as {"AWS_ACCESS_KEY_ID": "...", "AWS_SECRET_ACCESS_KEY": "..."} as the secret.'


class Datastores:
    """Where workspaces keep files. ``store`` is the hub's own."""

    def __init__(
        self, database: Database, store: ObjectStore, secrets: Secrets, audit: Audit, settings: Settings
    ) -> None:
        self._database = database
        self._store = store
        self._secrets = secrets
        self._audit = audit
        self._settings = settings

    def attach(
        self, workspace: str, name: str, url: str, secret: str | None, by: Actor, *, default: bool
    ) -> DatastoreRow:
        """Add a datastore; it is opened once, so that what cannot work is said now.

        Raises `ConflictError`, `ForbiddenError`, `StoreConfigError`, `StoreError`, `NotFoundError`.
        """
        check_name(name, where="datastore name")
        row = DatastoreRow(
            workspace=workspace,
            name=name,
            url=url,
            secret=secret,
            is_default=default,
            created_by=by.principal,
            created_at=datetime.now(UTC),
        )
        self.open_row(row).exists("headland-probe")
        with self._database.transaction() as session:
            if session.get(DatastoreRow, (workspace, name)) is not None:
                raise ConflictError("the datastore exists already", where=name, fix="Choose another name.")
            if default:
                _no_default(session, workspace)
            session.add(row)
            self._audit.record(session, by, "datastore.attach", name, workspace=workspace)
        return row

    def detach(self, workspace: str, name: str, by: Actor) -> None:
        """Forget a datastore; its files stay where they are.

        The default one cannot go, nor one of telemetry: raises `ConflictError`, `DatastoreInUseError`.
        """
        with self._database.transaction() as session:
            row = find(session, workspace, name)
            _require_no_telemetry(session, row)
            if row.is_default:
                raise ConflictError(
                    "it is the workspace's default", where=name, fix="Make another one the default first."
                )
            left = _leftovers(self.open_row(row)) if row.url == OWN else []
            session.delete(row)
            self._audit.record(session, by, "datastore.detach", name, workspace=workspace)
        for key in left:
            self._store.delete(f"{PREFIX}/{workspace}/{name}/{key}")

    def make_default(self, workspace: str, name: str, by: Actor) -> DatastoreRow:
        """Make a datastore the one that is meant where none is named."""
        with self._database.transaction() as session:
            row = find(session, workspace, name)
            _no_default(session, workspace)
            row.is_default = True
            self._audit.record(session, by, "datastore.make-default", name, workspace=workspace)
        return row

    def choose_for_telemetry(self, workspace: str, row: DatastoreRow | None, by: Actor) -> None:
        """Let new telemetry files go to a datastore, or to the hub's own store; earlier ones stay.

        Call `cloud_hub.datastores.telemetry.TelemetryStores.choose`, which tries the datastore first.
        """
        with self._database.transaction() as session:
            if row is not None and find(session, workspace, row.name).created_at != row.created_at:
                raise ConflictError("it was attached anew meanwhile", where=row.name, fix="Try again.")
            set_telemetry(session, workspace, row.name if row else None)
            target = row.name if row else OWN
            self._audit.record(session, by, "telemetry.set-store", target, workspace=workspace)

    def all_in(self, workspace: str) -> list[DatastoreRow]:
        """Return a workspace's datastores by name."""
        query = select(DatastoreRow).where(DatastoreRow.workspace == workspace).order_by(DatastoreRow.name)
        with self._database.reading() as session:
            return list(session.scalars(query).all())

    def open(self, workspace: str, name: str) -> ObjectStore:
        """Return the store behind a datastore; raises `NotFoundError`, `StoreConfigError`."""
        return self.open_row(self.get(workspace, name))

    def get(self, workspace: str, name: str) -> DatastoreRow:
        """Return a datastore; raises `NotFoundError`."""
        with self._database.reading() as session:
            return find(session, workspace, name)

    def open_row(
        self, row: DatastoreRow, patience: Patience | None = None, secret: SecretText | None = None
    ) -> ObjectStore:
        """Return the store behind a row, with ``secret`` in place of the one that the row names."""
        location = self.location_of(row)
        if location is None:
            return StoreBelow(self._store, f"{PREFIX}/{row.workspace}/{row.name}")
        credentials = self._credentials(row, secret)
        check_credentials(location.scheme, credentials)
        if location.scheme == "file":
            return _folder(location.bucket)
        return open_store(row.url, credentials, patience)

    def location_of(self, row: DatastoreRow) -> Location | None:
        """Return where a datastore is, none for the hub's own store; raises as `check_place`."""
        return check_place(
            row.url,
            folders=self._settings.datastore_folders,
            endpoints=self._settings.datastore_endpoints,
        )

    def _credentials(self, row: DatastoreRow, given: SecretText | None) -> Mapping[str, str]:
        if row.secret is None:
            return {}
        text = (given or self._secrets.read(row.workspace, row.secret)).reveal()
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None  # its words would quote the secret
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise InvalidInputError("the secret holds no credentials", where=row.secret, fix=FORM)
        return found


def add_default(session: Session, workspace: str, by: Actor) -> None:
    """Give a new workspace its datastore in the hub's own store."""
    session.add(
        DatastoreRow(
            workspace=workspace,
            name=DEFAULT,
            url=OWN,
            secret=None,
            is_default=True,
            created_by=by.principal,
            created_at=datetime.now(UTC),
        )
    )


def find(session: Session, workspace: str, name: str) -> DatastoreRow:
    """Return a datastore; raises `NotFoundError`."""
    row = session.get(DatastoreRow, (workspace, name))
    if row is None:
        raise NotFoundError("no such datastore", where=name, fix="`headland datastore list` shows them.")
    return row


def set_telemetry(session: Session, workspace: str, name: str | None) -> None:
    """Choose one datastore for new telemetry files, or none."""
    for row in session.scalars(select(DatastoreRow).where(DatastoreRow.workspace == workspace)):
        row.is_telemetry = row.name == name
    session.flush()


def _require_no_telemetry(session: Session, row: DatastoreRow) -> None:
    if row.is_telemetry:
        raise DatastoreInUseError(
            "the workspace's telemetry goes to it",
            where=row.name,
            fix="Choose another store first: headland workspace set-telemetry.",
        )
    held = (FileRow.workspace == row.workspace, FileRow.datastore == row.name)
    count = session.scalar(select(func.count()).select_from(FileRow).where(*held))
    if count:
        raise DatastoreInUseError(
            f"{count} telemetry files that count are in it", where=row.name, fix="Leave it attached."
        )


def _folder(path: str) -> ObjectStore:
    try:
        return SharedFolderStore(Path(path))
    except OSError as error:
        raise StoreError(
            f"the folder cannot be used ({error.strerror})", where=path, fix="Check that it is mounted."
        ) from error


def _leftovers(store: ObjectStore) -> list[str]:
    """Return what telemetry left that does not count; raises `ConflictError` where people's files are."""
    keys = [entry.key for entry in store.entries()]
    if not all(key.startswith(RESERVED) for key in keys):
        raise ConflictError("there are files in it", where="datastore", fix="Delete its files first.")
    return keys


def _no_default(session: Session, workspace: str) -> None:
    session.execute(update(DatastoreRow).where(DatastoreRow.workspace == workspace).values(is_default=False))
    session.flush()
