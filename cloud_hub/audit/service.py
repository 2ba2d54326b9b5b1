"""Writes the audit log, reads it, and checks it."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.chain import START, Entry, Fault, Head, Walk, entry_mac, head_mac, is_head
from cloud_hub.audit.errors import AuditBrokenError
from cloud_hub.audit.rows import AuditHeadRow, AuditRow
from cloud_hub.db.engine import Database
from cloud_hub.db.locking import take
from contract.encoding import canonical

ACTION: Final = re.compile(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*")
MAX_TEXT: Final = 1000
PAGE_ROWS: Final = 1000
MAX_FAULTS: Final = 100
"""A log under a wrong key is wrong in every row; the first hundred say so well enough."""
FIELDS: Final = tuple(getattr(AuditRow, name) for name in Entry.__dataclass_fields__)


@dataclass(frozen=True)
class Filters:
    """Which entries; None stands for all. ``since`` counts, ``until`` does not (times with a zone)."""

    principal: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_seq: int | None = None


class Audit:
    """The chains of all workspaces, and the hub's own, which is called ""."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._key = key

    def record(
        self,
        session: Session,
        by: Actor,
        action: str,
        target: str,
        *,
        workspace: str = "",
        details: dict[str, str] | None = None,
    ) -> int:
        """Write one entry in the caller's transaction; return its sequence, from 1.

        Call it last: from here on until the commit the chain is locked for others. ``action`` is like
        ``model.register``. No secret may be in ``target`` or ``details``. Texts longer than 1,000
        characters are cut. Raises `AuditBrokenError`, which must end the transaction: an entry behind
        a chain that was tampered with would hide it.
        """
        if not ACTION.fullmatch(action):
            raise ValueError("an action is written like model.register")
        session.flush()
        head = take(session, AuditHeadRow, workspace, lambda: self._first_head(workspace))
        self._require_whole(session, head)
        entry = Entry(
            workspace=workspace,
            sequence=head.count + 1,
            at=_moment(datetime.now(UTC)),
            principal=_text(by.principal),
            action=action,
            target=_text(target),
            address=_text(by.address),
            request_id=_text(by.request_id),
            details=canonical({_text(k): _text(v) for k, v in (details or {}).items()}).decode(),
        )
        mac = entry_mac(self._key, entry, head.last)
        session.add(AuditRow(**vars(entry), mac=mac))
        head.count, head.last = entry.sequence, mac
        head.mac = head_mac(self._key, Head(workspace, entry.sequence, mac))
        session.flush()
        return entry.sequence

    def verify(self, workspace: str, noted: Head | None = None) -> list[Fault]:
        """Return what is wrong with a chain, in the order of its rows; at most 100 faults.

        ``noted`` is an end of the chain that somebody kept elsewhere: with it, putting the whole database
        back to an older state is found too. It reads page by page, and the end of the chain in one state
        of the database with its head.
        """
        return list(itertools.islice(self._faults(workspace, noted), MAX_FAULTS))

    def head(self, workspace: str) -> Head:
        """Return where the chain says that it ends; one without entries has 0."""
        with self._database.reading() as session:
            row = session.get(AuditHeadRow, workspace)
        return Head(workspace, row.count, row.last) if row is not None else Head(workspace, 0, START)

    def page(self, workspace: str, filters: Filters, limit: int) -> list[AuditRow]:
        """Return entries, newest first, at most ``limit``; go on with ``before_seq`` of the last."""
        query = select(AuditRow).where(AuditRow.workspace == workspace)
        for column, value in ((AuditRow.principal, filters.principal), (AuditRow.action, filters.action)):
            if value is not None:
                query = query.where(column == value)
        if filters.since is not None:
            query = query.where(AuditRow.at >= _moment(filters.since))
        if filters.until is not None:
            query = query.where(AuditRow.at < _moment(filters.until))
        if filters.before_seq is not None:
            query = query.where(AuditRow.sequence < filters.before_seq)
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(AuditRow.sequence.desc()).limit(limit)).all())

    def _first_head(self, workspace: str) -> AuditHeadRow:
        mac = head_mac(self._key, Head(workspace, 0, START))
        return AuditHeadRow(workspace=workspace, count=0, last=START, mac=mac)

    def _require_whole(self, session: Session, head: AuditHeadRow) -> None:
        """Look at the end before anything is written behind it."""
        query = select(AuditRow.sequence, AuditRow.mac).where(AuditRow.workspace == head.workspace)
        newest = session.execute(query.order_by(AuditRow.sequence.desc()).limit(1)).first()
        end = tuple(newest) if newest is not None else (0, START)
        whole = is_head(self._key, Head(head.workspace, head.count, head.last), head.mac)
        if not whole or end != (head.count, head.last):
            raise AuditBrokenError(
                "the audit log does not end where it should, so no change is made",
                where=head.workspace or "the hub's own log",
                fix="See `headland audit verify`; restore database and `pki/master-keys` from one backup.",
            )

    def _faults(self, workspace: str, noted: Head | None) -> Iterator[Fault]:
        walk, ended = Walk(self._key), False
        while not ended:
            with self._database.reading() as session:
                head = _stored_head(session, workspace)
                rows = _rows_after(session, workspace, walk.count)
                if head is None and rows:  # a chain that began just now, or one that lost its head
                    head = _stored_head(session, workspace)
                    rows = _rows_after(session, workspace, walk.count)
            ended = len(rows) < PAGE_ROWS
            yield from walk.rows(rows)
        yield from walk.head(*(head or (None, None)))
        if noted is not None:
            with self._database.reading() as session:
                mac = session.scalar(
                    select(AuditRow.mac).where(
                        AuditRow.workspace == workspace, AuditRow.sequence == noted.count
                    )
                )
            if mac != noted.last:
                yield Fault(noted.count, "not the row that was noted: the log was put back or replaced")


def _stored_head(session: Session, workspace: str) -> tuple[Head, object] | None:
    """Return a chain's head and its MAC."""
    columns = (AuditHeadRow.workspace, AuditHeadRow.count, AuditHeadRow.last, AuditHeadRow.mac)
    try:
        row = session.execute(select(*columns).where(columns[0] == workspace)).first()
    except DBAPIError:
        return Head(workspace, 0, ""), None
    return (Head(*row[:-1]), row[-1]) if row is not None else None


def _rows_after(session: Session, workspace: str, sequence: int) -> list[tuple[Entry, object]]:
    """Return the next page of rows with their MACs; what cannot be read is an entry that is no text."""
    after = (AuditRow.workspace == workspace, AuditRow.sequence > sequence)
    query = select(*FIELDS, AuditRow.mac).where(*after).order_by(AuditRow.sequence).limit(PAGE_ROWS)
    try:
        return [_entry(row) for row in session.execute(query).all()]
    except DBAPIError:
        return _one_by_one(session, workspace, sequence)


def _one_by_one(session: Session, workspace: str, sequence: int) -> list[tuple[Entry, object]]:
    # SQLite keeps bytes that are no UTF-8 in a text column; one such row makes a whole page unreadable.
    of_chain = AuditRow.workspace == workspace
    numbers = select(AuditRow.sequence).where(of_chain, AuditRow.sequence > sequence)
    found: list[tuple[Entry, object]] = []
    for number in session.scalars(numbers.order_by(AuditRow.sequence).limit(PAGE_ROWS)).all():
        query = select(*FIELDS, AuditRow.mac).where(of_chain, AuditRow.sequence == number)
        try:
            found.append(_entry(session.execute(query).one()))
        except DBAPIError:
            unreadable: list[Any] = [None] * 7
            found.append((Entry(workspace, number, *unreadable), None))
    return found


def _entry(row: Sequence[Any]) -> tuple[Entry, object]:
    return Entry(*row[:-1]), row[-1]


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _text(value: str) -> str:
    """Return text that every database keeps as it is: no NUL, no lone surrogate, not endless."""
    clean = value.encode("utf-8", "replace").decode().replace("\0", "?")
    return clean if len(clean) <= MAX_TEXT else clean[: MAX_TEXT - 1] + "…"
