"""Datastores of all workspaces: attach, list, open."""

import json
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.below import SharedFolderStore, StoreBelow
from cloud_hub.blobs.credentials import check_credentials
from cloud_hub.blobs.opening import open_store
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.datastores.places import OWN, check_place
from cloud_hub.datastores.rows import DatastoreRow
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, InvalidInputError, NotFoundError
from cloud_hub.secrets.service import Secrets
from cloud_hub.settings import Settings
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
        self._open(row).exists("headland-probe")
        with self._database.transaction() as session:
            if session.get(DatastoreRow, (workspace, name)) is not None:
                raise ConflictError("the datastore exists already", where=name, fix="Choose another name.")
            if default:
                _no_default(session, workspace)
            session.add(row)
            self._audit.record(session, by, "datastore.attach", name, workspace=workspace)
        return row

    def detach(self, workspace: str, name: str, by: Actor) -> None:
        """Forget a datastore; its files stay where they are. The default one cannot go."""
        with self._database.transaction() as session:
            row = _find(session, workspace, name)
            if row.is_default:
                raise ConflictError(
                    "it is the workspace's default", where=name, fix="Make another one the default first."
                )
            if row.url == OWN and next(self._open(row).entries(), None) is not None:
                raise ConflictError("there are files in it", where=name, fix="Delete its files first.")
            session.delete(row)
            self._audit.record(session, by, "datastore.detach", name, workspace=workspace)

    def make_default(self, workspace: str, name: str, by: Actor) -> DatastoreRow:
        """Make a datastore the one that is meant where none is named."""
        with self._database.transaction() as session:
            row = _find(session, workspace, name)
            _no_default(session, workspace)
            row.is_default = True
            self._audit.record(session, by, "datastore.make-default", name, workspace=workspace)
        return row

    def all_in(self, workspace: str) -> list[DatastoreRow]:
        """Return a workspace's datastores by name."""
        query = select(DatastoreRow).where(DatastoreRow.workspace == workspace).order_by(DatastoreRow.name)
        with self._database.reading() as session:
            return list(session.scalars(query).all())

    def open(self, workspace: str, name: str) -> ObjectStore:
        """Return the store behind a datastore; raises `NotFoundError`, `StoreConfigError`."""
        with self._database.reading() as session:
            row = _find(session, workspace, name)
        return self._open(row)

    def _open(self, row: DatastoreRow) -> ObjectStore:
        location = check_place(
            row.url,
            folders=self._settings.datastore_folders,
            endpoints=self._settings.datastore_endpoints,
        )
        if location is None:
            return StoreBelow(self._store, f"{PREFIX}/{row.workspace}/{row.name}")
        credentials = self._credentials(row)
        check_credentials(location.scheme, credentials)
        if location.scheme == "file":
            return SharedFolderStore(Path(location.bucket))
        return open_store(row.url, credentials)

    def _credentials(self, row: DatastoreRow) -> dict[str, str]:
        if row.secret is None:
            return {}
        text = self._secrets.read(row.workspace, row.secret).reveal()
        try:
            found = json.loads(text)
        except ValueError:
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


def _find(session: Session, workspace: str, name: str) -> DatastoreRow:
    row = session.get(DatastoreRow, (workspace, name))
    if row is None:
        raise NotFoundError("no such datastore", where=name, fix="`headland datastore list` shows them.")
    return row


def _no_default(session: Session, workspace: str) -> None:
    session.execute(update(DatastoreRow).where(DatastoreRow.workspace == workspace).values(is_default=False))
    session.flush()
