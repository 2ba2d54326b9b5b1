"""Webhooks of all workspaces, and the outbox of what they are told."""

import secrets
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from cloud_hub.activities.rows import ActivityRow
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.clock import moment
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, InvalidInputError, NotFoundError
from cloud_hub.webhooks.ports import SealedText
from cloud_hub.webhooks.rows import DeliveryRow, WebhookRow
from cloud_hub.webhooks.rules import ENDS, activity_event, is_pattern, wants
from cloud_hub.webhooks.signing import KEY_BYTES, secret_text
from contract.encoding import canonical

MOST = 20
MAX_URL = 2_000
MAX_RESULT_BYTES = 8 * 1024
TEST = "webhook.test"


class Webhooks:
    """Addresses, and rows of what they are to be told; a `Deliverer` sends them."""

    def __init__(
        self,
        database: Database,
        sealed: SealedText,
        audit: Audit,
        check: Callable[[str], None] = lambda _url: None,
    ) -> None:
        """Make the room; ``check(url)`` raises where the hub would not connect to an address."""
        self._database = database
        self._audit = audit
        self._check = check
        self._sealed = sealed

    def create(self, workspace: str, url: str, events: list[str], by: Actor) -> tuple[str, WebhookRow]:
        """Add a webhook; return its secret, which is shown this once, and its row."""
        _check_url(url)
        self._check(url)
        unknown = [event for event in events if not is_pattern(event)]
        if unknown or len(events) > 50:
            raise InvalidInputError(
                "an event is parts joined by '.', each of a-z, 0-9, '_', or '*'",
                where="events",
                fix=f"For example {ENDS[0]}.",
            )
        secret = secret_text(secrets.token_bytes(KEY_BYTES))
        with self._database.transaction() as session:
            count = select(func.count()).where(WebhookRow.workspace == workspace)
            if (session.scalar(count) or 0) >= MOST:
                raise ConflictError(f"a workspace has at most {MOST} webhooks", fix="Delete one first.")
            webhook = uuid.uuid4().hex[:16]
            row = WebhookRow(
                id=webhook,
                workspace=workspace,
                url=url,
                events=list(events or ENDS),
                sealed_secret=self._sealed.seal(secret, context_of(workspace, webhook)),
                state="active",
                sequence=0,
                due_at=None,
                holder=None,
                lease_until=None,
                fence=0,
                created_by=by.principal,
                created_at=moment(session),
            )
            session.add(row)
            self._audit.record(session, by, "webhook.create", webhook, workspace=workspace)
        return secret, row

    def all_in(self, workspace: str) -> list[WebhookRow]:
        """Return the webhooks, oldest first."""
        query = select(WebhookRow).where(WebhookRow.workspace == workspace)
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(WebhookRow.created_at, WebhookRow.id)).all())

    def delete(self, workspace: str, webhook: str, by: Actor) -> None:
        """Forget a webhook with all that it was to be told."""
        with self._database.transaction() as session:
            row = _get(session, workspace, webhook, lock=True)
            session.execute(delete(DeliveryRow).where(DeliveryRow.webhook == webhook))
            session.delete(row)
            self._audit.record(session, by, "webhook.delete", webhook, workspace=workspace)

    def deliveries(self, workspace: str, webhook: str, limit: int = 100) -> list[DeliveryRow]:
        """Return what it was told and is to be told, newest first."""
        query = select(DeliveryRow).where(DeliveryRow.webhook == webhook)
        with self._database.reading() as session:
            _get(session, workspace, webhook)
            return list(session.scalars(query.order_by(DeliveryRow.sequence.desc()).limit(limit)).all())

    def test(self, workspace: str, webhook: str) -> DeliveryRow:
        """Queue an event `webhook.test` for one webhook, whichever events it is for."""
        with self._database.transaction() as session:
            row = _get(session, workspace, webhook)
            if row.state != "active":
                raise ConflictError("the receiver answered 410: this webhook has ended", where=webhook)
            queued = _queue(session, row, TEST, {"workspace": workspace, "webhook": webhook})
            if queued is None:
                raise _unknown(webhook)
            return queued

    def note(self, session: Session, workspace: str, event: str, data: dict[str, Any]) -> None:
        """Queue an event for the webhooks that want it, in the transaction of what happened."""
        query = select(WebhookRow).where(WebhookRow.workspace == workspace, WebhookRow.state == "active")
        # Always in the same order: two transactions lock the same rows without waiting for each other.
        for row in session.scalars(query.order_by(WebhookRow.id)).all():
            if wants(row.events, event):
                _queue(session, row, event, data)

    def note_activity(self, session: Session, row: ActivityRow) -> None:
        """Queue the event of an activity's new state."""
        small = row.result is not None and len(canonical(row.result)) <= MAX_RESULT_BYTES
        data = {
            "workspace": row.workspace,
            "activity": row.id,
            "kind": row.kind,
            "state": row.state,
            "attempt": row.attempt,
            "result": row.result if small else None,
            "error": row.error,
            "created_by": row.created_by,
            "created_at": row.created_at,
        }
        self.note(session, row.workspace, activity_event(row.kind, row.state), data)


def context_of(workspace: str, webhook: str) -> str:
    """Return where a secret belongs."""
    return f"webhook/{workspace}/{webhook}"


def _queue(session: Session, webhook: WebhookRow, event: str, data: dict[str, Any]) -> DeliveryRow | None:
    """Add a delivery; raising the sequence locks the webhook until the commit. None: it is deleted."""
    now: datetime = moment(session)
    sequence = session.execute(
        update(WebhookRow)
        .where(WebhookRow.id == webhook.id)
        .values(sequence=WebhookRow.sequence + 1, due_at=func.coalesce(WebhookRow.due_at, now))
        .returning(WebhookRow.sequence),
        execution_options={"synchronize_session": False},
    ).scalar()
    if sequence is None:
        return None
    row = DeliveryRow(
        webhook=webhook.id,
        sequence=sequence,
        event=event,
        body=canonical({"type": event, "timestamp": now, "data": data}).decode(),
        state="waiting",
        attempts=0,
        status=None,
        reason=None,
        created_at=now,
        next_at=now,
        finished_at=None,
    )
    session.add(row)
    session.flush()
    return row


def _get(session: Session, workspace: str, webhook: str, *, lock: bool = False) -> WebhookRow:
    row = session.get(WebhookRow, webhook, with_for_update=lock)
    if row is None or row.workspace != workspace:
        raise _unknown(webhook)
    return row


def _unknown(webhook: str) -> NotFoundError:
    return NotFoundError(
        "no such webhook in this workspace", where=webhook, fix="`headland webhook list` shows them."
    )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInputError(
            "a webhook's address is an http or https URL", where="url", fix="Write https://HOST/PATH."
        )
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidInputError(
            "a webhook's address has no user, password or fragment",
            where="url",
            fix="Deliveries are signed: let the receiver verify the signature.",
        )
