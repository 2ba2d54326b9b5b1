"""The first datastore of a new workspace: an existing place instead of one in the hub's own store."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.errors import StoreConfigError
from cloud_hub.datastores.places import OWN
from cloud_hub.datastores.rows import DatastoreRow
from cloud_hub.datastores.service import Datastores
from cloud_hub.datastores.telemetry import TelemetryStores
from cloud_hub.secrets.service import Secrets, check_secret
from cloud_hub.secrets.text import SecretText
from contract.ids import check_name


@dataclass(frozen=True)
class FirstDatastore:
    """What is asked for: ``secret`` names what ``credentials`` are kept as, both or neither."""

    name: str
    url: str
    secret: str | None
    credentials: SecretText | None
    telemetry: bool


class FirstDatastores:
    """Makes them, in the transaction that makes the workspace."""

    def __init__(
        self, datastores: Datastores, telemetry: TelemetryStores, secrets: Secrets, audit: Audit
    ) -> None:
        self._datastores = datastores
        self._telemetry = telemetry
        self._secrets = secrets
        self._audit = audit

    def check(self, workspace: str, asked: FirstDatastore, by: Actor) -> DatastoreRow:
        """Try the place, which no row names yet; return the row that `add` takes.

        Raises `InvalidNameError`, `InvalidInputError`, `ForbiddenError`, `StoreConfigError`, `StoreError`.
        """
        check_name(asked.name, where="datastore name")
        if asked.secret is not None and asked.credentials is not None:
            check_secret(asked.secret, asked.credentials)
        row = DatastoreRow(
            workspace=workspace,
            name=asked.name,
            url=asked.url,
            secret=asked.secret,
            is_default=True,
            is_telemetry=asked.telemetry,
            created_by=by.principal,
            created_at=datetime.now(UTC),
        )
        if asked.url == OWN and asked.secret is not None:
            raise StoreConfigError("the hub's own store takes no credentials", fix="Leave them out.")
        self._datastores.open_row(row, secret=asked.credentials).exists("headland-probe")
        if asked.telemetry:
            self._telemetry.mark(row, asked.credentials)
        return row

    def add(self, session: Session, row: DatastoreRow, credentials: SecretText | None, by: Actor) -> None:
        """Keep the row and its secret, in the caller's transaction."""
        if row.secret is not None and credentials is not None:
            self._secrets.write_in(session, row.workspace, row.secret, credentials, by)
        session.add(row)
        self._audit.record(session, by, "datastore.attach", row.name, workspace=row.workspace)
        if row.is_telemetry:
            self._audit.record(session, by, "telemetry.set-store", row.name, workspace=row.workspace)
