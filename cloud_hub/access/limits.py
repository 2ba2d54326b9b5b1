"""How often credentials may be wrong: counted in the database, so for all processes of the hub.

After `MOST` failures of one key in a window, further tries of that key wait for the window's end. Of
`device-secret`, a device that reads a secret, and `renewal` every try counts: each leaves an entry in the
audit log.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import delete

from cloud_hub.access.rows import AttemptRow
from cloud_hub.db.engine import Database
from cloud_hub.errors import CredentialError, TooManyAttemptsError

Kind = Literal["password", "token", "enrolment", "address", "device-secret", "renewal"]
Key = tuple[Kind, str]

WINDOW = timedelta(minutes=15)
MOST: dict[Kind, int] = {
    "password": 10,
    "token": 60,
    "enrolment": 30,
    "address": 100,
    "device-secret": 600,
    "renewal": 10,
}


class AttemptLimits:
    """Counts failed checks; a key is a kind and a name or address, kept hashed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def guard(self, *keys: Key) -> Iterator[None]:
        """Check a credential in the block: not tried where a key has failed too often before.

        A `CredentialError` that leaves the block counts against every key; raises
        `TooManyAttemptsError`.
        """
        self._refuse_worn_out(keys)
        try:
            yield
        except CredentialError:
            self.failed(*keys)
            raise

    def tried(self, key: Key) -> None:
        """Count a try of which each counts; raises `TooManyAttemptsError` where it was one too many."""
        self.failed(key)

    def failed(self, *keys: Key) -> None:
        """Count a failure; raises `TooManyAttemptsError` where it was one too many."""
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            for kind, name in keys:
                row = session.get(AttemptRow, _hashed(kind, name), with_for_update=True)
                if row is None:
                    row = AttemptRow(key=_hashed(kind, name), window_started_at=now, failures=0)
                    session.add(row)
                if row.window_started_at + WINDOW <= now:
                    row.window_started_at, row.failures = now, 0
                # No higher: a flood costs no more writes than its first failures.
                if row.failures <= MOST[kind]:
                    row.failures += 1
            session.execute(delete(AttemptRow).where(AttemptRow.window_started_at <= now - 2 * WINDOW))
        self._refuse_worn_out(keys, beyond=1)

    def _refuse_worn_out(self, keys: tuple[Key, ...], beyond: int = 0) -> None:
        now = datetime.now(UTC)
        with self._database.reading() as session:
            for kind, name in keys:
                row = session.get(AttemptRow, _hashed(kind, name))
                if row is None or row.window_started_at + WINDOW <= now:
                    continue
                if row.failures >= MOST[kind] + beyond:
                    wait_s = int((row.window_started_at + WINDOW - now).total_seconds()) + 1
                    what = "reads of secrets" if kind == "device-secret" else "wrong credentials"
                    raise TooManyAttemptsError(
                        f"too many {what}", retry_after_s=wait_s, fix=f"Wait {wait_s} s."
                    )


def _hashed(kind: Kind, name: str) -> str:
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()
