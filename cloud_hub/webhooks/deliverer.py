"""Sends what waits: at least once, in order for each webhook, from any number of processes."""

import logging
import random
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from cloud_hub.db.clock import moment
from cloud_hub.db.engine import Database
from cloud_hub.version import VERSION
from cloud_hub.webhooks.ports import Outbound, SealedText
from cloud_hub.webhooks.rows import DeliveryRow, WebhookRow
from cloud_hub.webhooks.rules import Schedule
from cloud_hub.webhooks.service import context_of
from cloud_hub.webhooks.signing import signed_headers
from contract.errors import HeadlandError

log = logging.getLogger(__name__)

POLL_S = 0.5
AT_ONCE = 4
LEASE_MARGIN_S = 30.0
KEPT = 1_000  # finished deliveries of a webhook
GONE = 410


@dataclass(frozen=True)
class Attempt:
    """One attempt to be made."""

    webhook: str
    fence: int
    url: str
    secret: bytes
    context: str
    sequence: int
    message: str
    body: bytes
    at: datetime


@dataclass(frozen=True)
class Outcome:
    """What came of it: the status, or why there is none."""

    status: int | None
    reason: str | None

    @property
    def delivered(self) -> bool:
        """Was it taken?"""
        return self.status is not None and 200 <= self.status < 300


class Deliverer:
    """Threads that deliver from `start` to `stop`."""

    def __init__(
        self,
        database: Database,
        outbound: Outbound,
        sealed: SealedText,
        *,
        schedule: Schedule | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self._database, self._outbound, self._sealed = database, outbound, sealed
        self._schedule = schedule or Schedule()
        self._lease = timedelta(seconds=self._schedule.timeout_s + LEASE_MARGIN_S)
        self._stopping = threading.Event()
        self._random = random.Random()  # noqa: S311  spreads retries, keeps nothing secret
        self._holder = uuid.uuid4().hex
        self._threads = [
            threading.Thread(target=self._work, name=f"webhook-{n}", daemon=True) for n in range(at_once)
        ]

    def start(self, *, alone: bool = False) -> None:
        """Begin to deliver. ``alone``: no other process does, so leases that an earlier one left end."""
        if alone:
            with self._database.transaction() as session:
                session.execute(update(WebhookRow).values(lease_until=None))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; an attempt that is being made is made again later unless its outcome is known in time."""
        self._stopping.set()
        until = time.monotonic() + POLL_S * 4
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                worked = self.deliver_one()
            except Exception:
                log.exception("webhooks could not be delivered; tried again in %g s", POLL_S)
                worked = False
            if not worked:
                self._stopping.wait(POLL_S)

    def deliver_one(self) -> bool:
        """Make one attempt that is due; False where none is."""
        with self._database.transaction() as session:
            attempt = self._claim(session)
        if attempt is None:
            return False
        outcome = self._send(attempt)
        with self._database.transaction() as session:
            self._settle(session, attempt, outcome)
        return True

    def _claim(self, session: Session) -> Attempt | None:
        now = moment(session)
        due = and_(
            WebhookRow.due_at <= now,
            or_(WebhookRow.lease_until.is_(None), WebhookRow.lease_until < now),
        )
        longest_due = (
            select(WebhookRow.id)
            .where(due)
            .order_by(WebhookRow.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        row = session.scalars(
            update(WebhookRow)
            .where(WebhookRow.id == longest_due, due)
            .values(holder=self._holder, lease_until=now + self._lease, fence=WebhookRow.fence + 1)
            .returning(WebhookRow),
            execution_options={"synchronize_session": False},
        ).first()
        if row is None:
            return None
        head = _head(session, row.id)
        if head is None:
            row.due_at, row.lease_until = None, None
            return None
        return Attempt(
            webhook=row.id,
            fence=row.fence,
            url=row.url,
            secret=row.sealed_secret,
            context=context_of(row.workspace, row.id),
            sequence=head.sequence,
            message=f"msg_{row.id}_{head.sequence}",
            body=head.body.encode(),
            at=now,
        )

    def _send(self, attempt: Attempt) -> Outcome:
        try:
            secret = self._sealed.open(attempt.secret, attempt.context)
            headers = signed_headers(secret, attempt.message, int(attempt.at.timestamp()), attempt.body)
            headers |= {"content-type": "application/json", "user-agent": f"headland/{VERSION}"}
            status = self._outbound.post(attempt.url, headers, attempt.body, self._schedule.timeout_s)
            return Outcome(status, None)
        except HeadlandError as error:
            log.warning("webhook %s: %s", attempt.webhook, error)
            return Outcome(None, f"{error.what} [{error.code}]")
        except Exception:
            log.exception("webhook %s: an attempt failed unexpectedly", attempt.webhook)
            return Outcome(None, "an unexpected error; see the hub's log")

    def _settle(self, session: Session, attempt: Attempt, outcome: Outcome) -> None:
        """Write the outcome, unless another process has taken the webhook over, or it is deleted."""
        now = moment(session)
        held = session.execute(
            update(WebhookRow)
            .where(WebhookRow.id == attempt.webhook, WebhookRow.fence == attempt.fence)
            .values(holder=None, lease_until=None)
            .returning(WebhookRow.id),
            execution_options={"synchronize_session": False},
        ).scalar()
        if held is None:
            return
        row = session.get_one(DeliveryRow, (attempt.webhook, attempt.sequence))
        row.attempts += 1
        row.status, row.reason = outcome.status, outcome.reason
        wait = timedelta(seconds=self._schedule.wait_s(row.attempts, self._random.random()))
        given_up = now + wait > row.created_at + timedelta(seconds=self._schedule.give_up_s)
        if outcome.delivered or given_up or outcome.status == GONE:
            row.state = "delivered" if outcome.delivered else "given-up"
            row.next_at, row.finished_at = None, now
        else:
            row.next_at = now + wait
        if outcome.status == GONE:
            _end(session, attempt.webhook, now)
        session.flush()
        head = _head(session, attempt.webhook)
        session.execute(
            update(WebhookRow)
            .where(WebhookRow.id == attempt.webhook)
            .values(due_at=head.next_at if head is not None else None)
        )
        _forget_old(session, attempt.webhook, attempt.sequence)


def _head(session: Session, webhook: str) -> DeliveryRow | None:
    query = select(DeliveryRow).where(DeliveryRow.webhook == webhook, DeliveryRow.state == "waiting")
    return session.scalars(query.order_by(DeliveryRow.sequence).limit(1)).first()


def _end(session: Session, webhook: str, now: datetime) -> None:
    """The receiver wants no more (410): nothing is sent to it any longer."""
    session.execute(update(WebhookRow).where(WebhookRow.id == webhook).values(state="gone"))
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.webhook == webhook, DeliveryRow.state == "waiting")
        .values(state="given-up", next_at=None, finished_at=now, reason="the receiver answered 410")
    )


def _forget_old(session: Session, webhook: str, sequence: int) -> None:
    session.execute(
        delete(DeliveryRow).where(
            DeliveryRow.webhook == webhook,
            DeliveryRow.sequence <= sequence - KEPT,
            DeliveryRow.state != "waiting",
        )
    )


def waiting(session: Session, webhook: str) -> int:
    """Return how many deliveries of a webhook wait."""
    query = select(func.count()).where(DeliveryRow.webhook == webhook, DeliveryRow.state == "waiting")
    return session.scalar(query) or 0
