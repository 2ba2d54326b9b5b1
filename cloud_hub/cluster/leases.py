"""Work divided by leases in the database, by its clock."""

import asyncio
import logging
import time
import uuid
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cloud_hub.cluster.division import divide
from cloud_hub.cluster.rows import HubLeaseRow, HubMemberRow
from cloud_hub.cluster.share import Member
from cloud_hub.db.clock import moment
from cloud_hub.db.engine import Database
from cloud_hub.version import VERSION

log = logging.getLogger(__name__)

LEASE_S = 10.0
BEATS = 4
"""How often in a lease a hub says that it is there."""


class Leases:
    """A hub's place among the others; implements `share.Share`."""

    def __init__(
        self, database: Database, address: str, work: tuple[str, ...], *, lease_s: float = LEASE_S
    ) -> None:
        self._database = database
        self._address = address
        self._work = work
        self._lease_s = lease_s
        self.life = uuid.uuid4().hex
        self._held: frozenset[str] = frozenset()
        self._left = False
        self._until_s = 0.0

    def holds(self, work: str) -> bool:
        """Is it ours, by a lease that has not run out by this machine's own clock either?"""
        return work in self._held and time.monotonic() < self._until_s

    def beat(self) -> frozenset[str]:
        """Say that this hub is there, and take its fair share of the work; return what it holds."""
        # Before the database is asked: by its clock the lease ends later, never sooner.
        until_s = time.monotonic() + self._lease_s
        lease = timedelta(seconds=self._lease_s)
        with self._database.transaction() as session:
            if self._left:  # a beat that waited for its turn while the hub was stopped
                return frozenset()
            now = moment(session)
            self._appear(session, now)
            lives = session.scalars(select(HubMemberRow.life).where(HubMemberRow.seen_at > now - lease)).all()
            rows = {row.work: row for row in session.scalars(select(HubLeaseRow)).all()}
            held_by = {row.work: row.life for row in rows.values() if row.until > now and row.life in lives}
            share = divide(self._work, held_by, lives, self.life)
            for work in share.release:
                session.delete(rows[work])
            for work in share.hold:
                row = rows.get(work)
                if row is None:
                    session.add(HubLeaseRow(work=work, life=self.life, until=now + lease))
                else:
                    row.life, row.until = self.life, now + lease
        if share.hold != self._held:
            log.info("this hub's share of the work: %s", ", ".join(sorted(share.hold)) or "nothing")
        self._held, self._until_s = share.hold, until_s
        return share.hold

    def members(self) -> list[Member]:
        """Return all hub processes by address."""
        with self._database.reading() as session:
            now = moment(session)
            leases = session.scalars(select(HubLeaseRow).where(HubLeaseRow.until > now)).all()
            rows = session.scalars(select(HubMemberRow).order_by(HubMemberRow.address)).all()
        return [
            Member(
                address=row.address,
                release=row.release,
                started_at=row.started_at,
                seen_at=row.seen_at,
                here=row.seen_at > now - timedelta(seconds=self._lease_s),
                work=tuple(sorted(lease.work for lease in leases if lease.life == row.life)),
            )
            for row in rows
        ]

    async def keep(self) -> None:
        """Beat until cancelled. While the database is away the work stops by itself."""
        while True:
            try:
                await asyncio.to_thread(self.beat)
            except Exception:
                log.exception("this hub could not say that it is there")
            await asyncio.sleep(self._lease_s / BEATS)

    def leave(self) -> None:
        """Let the others have the work now, and not when the lease has run out."""
        self._held, self._left = frozenset(), True
        with self._database.transaction() as session:
            session.execute(delete(HubLeaseRow).where(HubLeaseRow.life == self.life))
            session.execute(delete(HubMemberRow).where(HubMemberRow.life == self.life))

    def _appear(self, session: Session, now: datetime) -> None:
        row = session.get(HubMemberRow, self._address)
        if row is None:
            row = HubMemberRow(
                address=self._address, life=self.life, release=VERSION, started_at=now, seen_at=now
            )
            session.add(row)
        elif row.life != self.life:
            # An earlier life of this hub, which was killed: what it held is free.
            session.execute(delete(HubLeaseRow).where(HubLeaseRow.life == row.life))
            row.life, row.release, row.started_at = self.life, VERSION, now
        row.seen_at = now
        session.flush()


def others_here(session: Session, address: str, *, within_s: float = 3 * LEASE_S) -> list[str]:
    """Return the addresses of other hub processes that were seen lately."""
    seen = HubMemberRow.seen_at > moment(session) - timedelta(seconds=within_s)
    query = select(HubMemberRow.address).where(seen, HubMemberRow.address != address)
    return list(session.scalars(query.order_by(HubMemberRow.address)).all())
