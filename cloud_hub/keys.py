"""The master keys of a hub in its data folder: made once, never made anew over what they protect."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from cloud_hub.audit.rows import AuditHeadRow
from cloud_hub.cluster.leases import others_here
from cloud_hub.db.engine import Database
from cloud_hub.errors import HubRunningError
from cloud_hub.lock import hub_lock
from cloud_hub.pki.errors import KeyFileError
from cloud_hub.secrets.key_file import MASTER_KEYS_FILE, FileMasterKeys
from cloud_hub.secrets.rotation import Rotated, rotate
from cloud_hub.secrets.rows import SecretRow


def open_master_keys(pki: Path, database: Database) -> FileMasterKeys:
    """Load the keys from the hub's private folder; a hub that has no use of them yet gets new ones.

    Raises `KeyFileError` where the file is missing, though the (migrated) database holds secrets or an
    audit log: new keys would open neither.
    """
    path = pki / MASTER_KEYS_FILE
    if path.exists():
        return FileMasterKeys.load(path)
    with database.transaction() as session:
        used = [session.scalar(select(column).limit(1)) for column in (SecretRow.name, AuditHeadRow.count)]
    if used != [None, None]:
        raise KeyFileError(
            "is missing, and the database holds secrets or an audit log of its keys",
            where=str(path),
            fix="Restore it from the backup that the database is of.",
        )
    return FileMasterKeys.create(path)


def rotate_master_key(
    data_dir: Path, pki: Path, database: Database, progress: Callable[[int], None], address: str = ""
) -> Rotated:
    """Rotate while no hub runs, on the folder or (one of several, at ``address``) on the database.

    Raises `HubRunningError`, `SecretUnreadableError`.
    """
    with hub_lock(data_dir):
        database.migrate()
        with database.reading() as session:
            others = others_here(session, address)
        if others:
            raise HubRunningError(
                "other hubs with this master key run",
                where=", ".join(others),
                fix="Stop them, rotate, and copy pki/master-keys to each before it starts again.",
            )
        # A write that was cut off may have left the very key that this rotation is to end.
        for left in pki.glob(f".{MASTER_KEYS_FILE}.*.tmp"):
            left.unlink()
        return rotate(database, open_master_keys(pki, database), progress=progress)
