"""People of the hub: invited by the administrator, they choose a password and log in with it."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.passwords import hash_password, verify_password
from cloud_hub.access.roles import Caller, Role
from cloud_hub.access.rows import PrincipalRow, TokenRow
from cloud_hub.access.tokens import INVITATION, SESSION, Tokens, revoke_all
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, NotFoundError, UnauthenticatedError
from contract.ids import check_name

WRONG = "the name or the password is wrong"


class People:
    """Persons: invite, log in, change the password, disable."""

    def __init__(self, database: Database, tokens: Tokens, limits: AttemptLimits) -> None:
        self._database = database
        self._tokens = tokens
        self._limits = limits

    def create(self, name: str, *, admin: bool, by: str) -> str:
        """Add a person; return the secret of an invitation to choose a password."""
        check_name(name, where="user name")
        with self._database.transaction() as session:
            if session.get(PrincipalRow, name) is not None:
                raise ConflictError("the name is taken", where=name, fix="Choose another name.")
            session.add(new_principal(name, "person", admin=admin, by=by))
            session.flush()
            return self._invitation(session, name)

    def invite(self, name: str) -> str:
        """Return a new invitation's secret: the person chooses a new password with it."""
        with self._database.transaction() as session:
            find_person(session, name)
            return self._invitation(session, name)

    def accept(self, secret: str, password: str, address: str) -> tuple[str, TokenRow]:
        """Choose a password with an invitation; earlier tokens end. Return a session's token."""
        with self._limits.guard(("token", address)), self._database.transaction() as session:
            hashed = hash_password(password)  # first: one that is too short does not use the invitation up
            name = self._tokens.redeem(session, secret).principal
            person = find_person(session, name)
            _refuse_disabled(person)
            person.password_hash = hashed
            revoke_all(session, name)
            return self._session(session, person)

    def log_in(self, name: str, password: str, address: str) -> tuple[str, TokenRow]:
        """Return a session's token; raises `UnauthenticatedError`, `TooManyAttemptsError`."""
        person = self._check(name, password, address)
        with self._database.transaction() as session:
            return self._session(session, person)

    def change_password(self, caller: Caller, old: str, new: str, address: str) -> tuple[str, TokenRow]:
        """Change one's own password; all earlier tokens end. Return a new session's token."""
        hashed = hash_password(new)
        self._check(caller.principal, old, address)
        with self._database.transaction() as session:
            person = find_person(session, caller.principal)
            person.password_hash = hashed
            revoke_all(session, person.name)
            return self._session(session, person)

    def change(self, name: str, *, disabled: bool | None, admin: bool | None) -> PrincipalRow:
        """Disable or enable a person, or give or take the hub's administration.

        Disabling ends every token; raises `ConflictError` where nobody could administer any more.
        """
        with self._database.transaction() as session:
            person = find_person(session, name)
            if disabled is not None:
                person.disabled_at = datetime.now(UTC) if disabled else None
            if admin is not None:
                person.admin = admin
            if disabled:
                revoke_all(session, name)
            session.flush()
            _require_an_admin(session)
        return person

    def all(self) -> list[PrincipalRow]:
        """Return all persons by name."""
        query = select(PrincipalRow).where(PrincipalRow.kind == "person").order_by(PrincipalRow.name)
        with self._database.transaction() as session:
            return list(session.scalars(query).all())

    def _check(self, name: str, password: str, address: str) -> PrincipalRow:
        with self._limits.guard(("password", name), ("address", address)):
            with self._database.transaction() as session:
                person = session.get(PrincipalRow, name)
            kept = person.password_hash if person is not None else None
            if not verify_password(kept, password) or person is None or person.disabled_at is not None:
                raise UnauthenticatedError(WRONG, fix="Try again, or ask for a new invitation.")
        return person

    def _invitation(self, session: Session, name: str) -> str:
        return self._tokens.create(session, name, "invitation", role="Reader", lifetime=INVITATION)[0]

    def _session(self, session: Session, person: PrincipalRow) -> tuple[str, TokenRow]:
        role: Role = "Admin" if person.admin else "Owner"
        return self._tokens.create(session, person.name, "session", role=role, lifetime=SESSION)


def new_principal(name: str, kind: str, *, admin: bool, by: str) -> PrincipalRow:
    """Return a principal who cannot log in yet."""
    return PrincipalRow(
        name=name,
        kind=kind,
        admin=admin,
        password_hash=None,
        created_by=by,
        created_at=datetime.now(UTC),
        disabled_at=None,
    )


def find_person(session: Session, name: str) -> PrincipalRow:
    """Return a person; raises `NotFoundError`."""
    row = session.get(PrincipalRow, name)
    if row is None or row.kind != "person":
        raise NotFoundError(
            "no such user", where=name, fix="The administrator makes users: `headland user create`."
        )
    return row


def _refuse_disabled(person: PrincipalRow) -> None:
    if person.disabled_at is not None:
        raise UnauthenticatedError("the user is disabled", where=person.name)


def _require_an_admin(session: Session) -> None:
    query = select(PrincipalRow.name).where(PrincipalRow.admin.is_(True), PrincipalRow.disabled_at.is_(None))
    if session.scalars(query.limit(1)).first() is None:
        raise ConflictError(
            "the hub would have no administrator any more", fix="Make another user an administrator first."
        )


def first_administrator(database: Database, name: str) -> str:
    """Add the hub's first administrator; return the secret of a token that does not end."""
    with database.transaction() as session:
        session.add(new_principal(name, "person", admin=True, by=name))
        session.flush()
        tokens = Tokens(database, AttemptLimits(database))
        return tokens.create(
            session, name, "access", role="Admin", lifetime=None, label="made by `headland hub init`"
        )[0]
