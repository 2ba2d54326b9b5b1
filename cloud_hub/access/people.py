"""People of the hub: invited by the administrator, they choose a password and log in with it."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.passwords import hash_password, verify_password
from cloud_hub.access.roles import Caller, Role
from cloud_hub.access.rows import MembershipRow, PrincipalRow, TokenRow
from cloud_hub.access.tokens import INVITATION, SESSION, Tokens, make_token, revoke_all
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, NotFoundError, UnauthenticatedError
from contract.ids import check_name

WRONG = "the name or the password is wrong"


class People:
    """Persons: invite, log in, change the password, disable."""

    def __init__(self, database: Database, tokens: Tokens, limits: AttemptLimits, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._tokens = tokens
        self._limits = limits

    def create(self, name: str, *, admin: bool, by: Actor) -> str:
        """Add a person; return the secret of an invitation to choose a password."""
        check_name(name, where="user name")
        with self._database.transaction() as session:
            if session.get(PrincipalRow, name) is not None:
                raise ConflictError("the name is taken", where=name, fix="Choose another name.")
            session.add(new_principal(name, "person", admin=admin, by=by.principal))
            session.flush()
            secret = self._invitation(session, name)
            self._audit.record(session, by, "user.create", name, details={"admin": str(admin)})
        return secret

    def invite(self, name: str, by: Actor) -> str:
        """Return a new invitation's secret: the person chooses a new password with it."""
        with self._database.transaction() as session:
            find_person(session, name)
            secret = self._invitation(session, name)
            self._audit.record(session, by, "user.invite", name)
        return secret

    def accept(self, secret: str, password: str, asked: Actor) -> tuple[str, TokenRow]:
        """Choose a password with an invitation; earlier tokens end. Return a session's token."""
        with self._limits.guard(("token", asked.address)), self._database.transaction() as session:
            hashed = hash_password(password)  # first: one that is too short does not use the invitation up
            name = self._tokens.redeem(session, secret).principal
            person = find_person(session, name)
            _refuse_disabled(person)
            person.password_hash = hashed
            revoke_all(session, name)
            return self._session(session, person, "user.accept", asked)

    def log_in(self, name: str, password: str, asked: Actor) -> tuple[str, TokenRow]:
        """Return a session's token; raises `UnauthenticatedError`, `TooManyAttemptsError`."""
        person = self._check(name, password, asked.address)
        with self._database.transaction() as session:
            return self._session(session, person, "session.create", asked)

    def check_password(self, name: str, password: str, address: str) -> str:
        """Return a print of the password that is right now: another one has another.

        Raises `UnauthenticatedError`, `TooManyAttemptsError`.
        """
        return _print(self._check(name, password, address))

    def caller_by(self, name: str, password_print: str) -> Caller:
        """Return a person as they are now; raises `UnauthenticatedError` where the password is another."""
        with self._database.reading() as session:
            person = session.get(PrincipalRow, name)
            if person is None or person.disabled_at is not None or _print(person) != password_print:
                raise UnauthenticatedError(WRONG, fix="Log in again.")
            roles = session.scalars(select(MembershipRow).where(MembershipRow.principal == name)).all()
        return Caller(
            principal=name,
            token="",
            cap="Admin" if person.admin else "Owner",
            only=None,
            admin=person.admin,
            memberships={row.workspace: cast(Role, row.role) for row in roles},
        )

    def change_password(self, old: str, new: str, by: Actor) -> tuple[str, TokenRow]:
        """Change one's own password; all earlier tokens end. Return a new session's token."""
        hashed = hash_password(new)
        self._check(by.principal, old, by.address)
        with self._database.transaction() as session:
            person = find_person(session, by.principal)
            person.password_hash = hashed
            revoke_all(session, person.name)
            return self._session(session, person, "user.change-password", by)

    def change(self, name: str, *, disabled: bool | None, admin: bool | None, by: Actor) -> PrincipalRow:
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
            changes = {"disabled": disabled, "admin": admin}
            details = {key: str(value) for key, value in changes.items() if value is not None}
            self._audit.record(session, by, "user.change", name, details=details)
        return person

    def all(self) -> list[PrincipalRow]:
        """Return all persons by name."""
        query = select(PrincipalRow).where(PrincipalRow.kind == "person").order_by(PrincipalRow.name)
        with self._database.reading() as session:
            return list(session.scalars(query).all())

    def _check(self, name: str, password: str, address: str) -> PrincipalRow:
        with self._limits.guard(("password", name), ("address", address)):
            with self._database.reading() as session:
                person = session.get(PrincipalRow, name)
            kept = person.password_hash if person is not None else None
            if not verify_password(kept, password) or person is None or person.disabled_at is not None:
                raise UnauthenticatedError(WRONG, fix="Try again, or ask for a new invitation.")
        return person

    def _invitation(self, session: Session, name: str) -> str:
        return make_token(session, name, "invitation", role="Reader", lifetime=INVITATION)[0]

    def _session(
        self, session: Session, person: PrincipalRow, action: str, asked: Actor
    ) -> tuple[str, TokenRow]:
        """Add a session's token; the audit log has who it turned out to be."""
        role: Role = "Admin" if person.admin else "Owner"
        made = make_token(session, person.name, "session", role=role, lifetime=SESSION)
        by = replace(asked, principal=person.name)
        self._audit.record(session, by, action, person.name, details={"token": made[1].id})
        return made


def _print(person: PrincipalRow) -> str:
    return hashlib.sha256(f"headland/password-print/1:{person.password_hash}".encode()).hexdigest()[:32]


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
        return make_token(
            session, name, "access", role="Admin", lifetime=None, label="made by `headland hub init`"
        )[0]
