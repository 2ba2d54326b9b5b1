"""Secrets of all workspaces: each new value is the next version; every read and change is audited."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.db.locking import take
from cloud_hub.errors import InvalidInputError, NotFoundError, TooLargeError
from cloud_hub.secrets.envelope import Place, Sealed, seal, unseal
from cloud_hub.secrets.errors import SecretDestroyedError
from cloud_hub.secrets.master_keys import MasterKeys, Wrapped
from cloud_hub.secrets.rows import SecretRow, SecretVersionRow
from cloud_hub.secrets.text import SecretText
from cloud_hub.workspaces.rows import WorkspaceRow
from contract.ids import check_name

MAX_VALUE_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class SecretVersion:
    """What may be known of a version without its value."""

    version: int
    created_by: str
    created_at: datetime
    destroyed_by: str | None
    destroyed_at: datetime | None


@dataclass(frozen=True)
class SecretInfo:
    """A secret: its name, and all its versions from the first."""

    name: str
    versions: list[SecretVersion]


class Secrets:
    """The vault."""

    def __init__(self, database: Database, keys: MasterKeys, audit: Audit) -> None:
        self._database = database
        self._keys = keys
        self._audit = audit

    def write(self, workspace: str, name: str, value: SecretText, by: Actor) -> SecretVersion:
        """Store the next version; raises `InvalidNameError`, `InvalidInputError`, `TooLargeError`."""
        check_secret(name, value)
        with self._database.transaction() as session:
            if session.get(WorkspaceRow, workspace) is None:
                raise NotFoundError("no such workspace", where=workspace)
            return self.write_in(session, workspace, name, value, by)

    def write_in(
        self, session: Session, workspace: str, name: str, value: SecretText, by: Actor
    ) -> SecretVersion:
        """Store the next version of what `check_secret` has seen, in the caller's transaction."""
        secret = take(
            session, SecretRow, (workspace, name), lambda: SecretRow(workspace=workspace, name=name, newest=0)
        )
        secret.newest += 1
        sealed = seal(self._keys, Place(workspace, name, secret.newest), value)
        row = SecretVersionRow(
            workspace=workspace,
            name=name,
            version=secret.newest,
            key_id=sealed.key.key_id,
            wrapped_key=sealed.key.data,
            sealed=sealed.value,
            created_by=by.principal,
            created_at=datetime.now(UTC),
        )
        session.add(row)
        self._audit.record(session, by, "secret.set", f"{name}:{row.version}", workspace=workspace)
        return _version(row)

    def read(
        self, workspace: str, name: str, version: int | None = None, *, by: Actor | None = None
    ) -> SecretText:
        """Return a value, the newest where no version is said.

        ``by`` is left out only by a room that records what it does with the value itself. Raises
        `NotFoundError`, `SecretDestroyedError` and `SecretUnreadableError`. Where the newest version was
        destroyed, an older one is never given in its place: it could be the one that leaked.
        """
        return self.read_version(workspace, name, version, by=by)[1]

    def read_version(
        self, workspace: str, name: str, version: int | None = None, *, by: Actor | None = None
    ) -> tuple[int, SecretText]:
        """Return which version it is, and its value, as `read` does."""
        with self._database.transaction() as session:
            rows = _alive(session, workspace, name)
            row = rows[-1] if version is None else next((r for r in rows if r.version == version), None)
            if row is None:
                raise _not_found(f"{name}:{version}")
            place = Place(workspace, name, row.version)
            if row.key_id is None or row.wrapped_key is None or row.sealed is None:
                raise SecretDestroyedError(
                    "this version of the secret was destroyed",
                    where=f"{name}:{row.version}",
                    fix="Set a new value, or name an older version.",
                )
            value = unseal(self._keys, place, Sealed(Wrapped(row.key_id, row.wrapped_key), row.sealed))
            if by is not None:
                self._audit.record(session, by, "secret.read", f"{name}:{row.version}", workspace=workspace)
        return row.version, value

    def destroy(self, workspace: str, name: str, version: int | None, by: Actor) -> list[int]:
        """Destroy a version, or all; return which. Raises `NotFoundError` where nothing was left."""
        with self._database.transaction() as session:
            rows = [
                row
                for row in _alive(session, workspace, name, lock=True)
                if row.key_id is not None and version in {None, row.version}
            ]
            if not rows:
                raise _not_found(f"{name}:{version}")
            for row in rows:
                row.key_id = row.wrapped_key = row.sealed = None
                row.destroyed_by, row.destroyed_at = by.principal, datetime.now(UTC)
            action, target = (
                ("secret.delete", name) if version is None else ("secret.destroy", f"{name}:{version}")
            )
            self._audit.record(session, by, action, target, workspace=workspace)
        return [row.version for row in rows]

    def get(self, workspace: str, name: str) -> SecretInfo:
        """Return what may be known of a secret; raises `NotFoundError`."""
        with self._database.reading() as session:
            return SecretInfo(name, [_version(row) for row in _alive(session, workspace, name)])

    def all_in(self, workspace: str) -> list[SecretInfo]:
        """Return the secrets by name; one whose versions are all destroyed is not there."""
        found: dict[str, list[SecretVersionRow]] = {}
        query = select(SecretVersionRow).where(SecretVersionRow.workspace == workspace)
        with self._database.transaction() as session:
            for row in session.scalars(query.order_by(SecretVersionRow.name, SecretVersionRow.version)):
                found.setdefault(row.name, []).append(row)
        return [
            SecretInfo(name, [_version(row) for row in rows])
            for name, rows in found.items()
            if any(row.key_id is not None for row in rows)
        ]


def _alive(session: Session, workspace: str, name: str, *, lock: bool = False) -> list[SecretVersionRow]:
    """Return every version of a secret of which one at least is not destroyed."""
    query = select(SecretVersionRow).where(
        SecretVersionRow.workspace == workspace, SecretVersionRow.name == name
    )
    query = query.order_by(SecretVersionRow.version)
    rows = list(session.scalars(query.with_for_update() if lock else query).all())
    if all(row.key_id is None for row in rows):
        raise _not_found(name)
    return rows


def _version(row: SecretVersionRow) -> SecretVersion:
    return SecretVersion(row.version, row.created_by, row.created_at, row.destroyed_by, row.destroyed_at)


def _not_found(where: str) -> NotFoundError:
    return NotFoundError(
        "no such secret in this workspace", where=where, fix="`headland secret list` shows what is there."
    )


def check_secret(name: str, value: SecretText) -> None:
    """Raise `InvalidNameError`, `InvalidInputError` or `TooLargeError` for what is not kept."""
    check_name(name, where="secret name")
    try:
        size = len(value.reveal().encode())
    except UnicodeEncodeError:
        # The cause is left out: it holds the value.
        raise InvalidInputError(
            "the value is not text", where="value", fix="Encode bytes as Base64."
        ) from None
    if size == 0:
        raise InvalidInputError("the value is empty", where="value", fix="Delete the secret instead.")
    if size > MAX_VALUE_BYTES:
        raise TooLargeError(
            f"a secret's value may have {MAX_VALUE_BYTES} bytes",
            where="value",
            fix="Store the data elsewhere, and its key here.",
        )
