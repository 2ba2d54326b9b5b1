"""A new master key: every data key is wrapped anew, then the old key is forgotten.

It may be killed at any point and run again. Whatever the point, each row names a key that the file still
has: the new key is on disk before a row uses it, the old one goes when no row does. No hub may run
meanwhile: one that does would go on to wrap with the key that it read at its start.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select

from cloud_hub.db.engine import Database
from cloud_hub.secrets.envelope import Place, rewrap
from cloud_hub.secrets.master_keys import MasterKeys, Wrapped
from cloud_hub.secrets.rows import SecretVersionRow

BATCH_ROWS = 100


@dataclass(frozen=True)
class Rotated:
    """What a rotation did: the key in use now, the keys that are gone, how many data keys moved."""

    active: str
    retired: list[str]
    rewrapped: int


def rotate(
    database: Database,
    keys: MasterKeys,
    *,
    batch_rows: int = BATCH_ROWS,
    progress: Callable[[int], None] = lambda _: None,
) -> Rotated:
    """Rotate, or go on with a rotation that was cut off; ``progress`` is told the rows done so far.

    Raises `SecretUnreadableError` where a row does not open: then no key is retired, and it names the row.
    """
    active = keys.active if keys.older else keys.add()
    done = 0
    while moved := _next_batch(database, keys, active, batch_rows):
        done += moved
        progress(done)
    retired = [key_id for key_id in keys.older if uses(database, key_id) == 0]
    for key_id in retired:
        keys.retire(key_id)
    return Rotated(active, retired, done)


def uses(database: Database, key_id: str) -> int:
    """Return how many rows are wrapped by a master key."""
    query = select(func.count()).select_from(SecretVersionRow).where(SecretVersionRow.key_id == key_id)
    with database.transaction() as session:
        return session.scalar(query) or 0


def _next_batch(database: Database, keys: MasterKeys, active: str, batch_rows: int) -> int:
    """Re-wrap up to ``batch_rows`` in one transaction; return how many there were."""
    old = SecretVersionRow.key_id.is_not(None) & (SecretVersionRow.key_id != active)
    with database.transaction() as session:
        rows = session.scalars(select(SecretVersionRow).where(old).limit(batch_rows).with_for_update()).all()
        for row in rows:
            place = Place(row.workspace, row.name, row.version)
            wrapped = rewrap(keys, place, Wrapped(row.key_id or "", row.wrapped_key or b""))
            row.key_id, row.wrapped_key = wrapped.key_id, wrapped.data
        return len(rows)
