"""Another hub process for the same rows and bytes: what it must have of the first one, sealed in one file.

With these files whoever has them is the hub: they are carried by hand, under a passphrase.
"""

import json
from pathlib import Path
from typing import Any

from cloud_hub.backup import sealed_keys
from cloud_hub.backup.errors import BackupError, RestoreError
from cloud_hub.blobs.claim import STORE_ID
from cloud_hub.broker.keys import HubKeys
from cloud_hub.db.owner import require_owner
from cloud_hub.init import PKI, cluster_authority, database_of, make_folders, require_new, write_settings
from cloud_hub.pki.authority import CA, fingerprint_of
from cloud_hub.pki.durable_file import PRIVATE_MODE, write_durably
from cloud_hub.settings import Settings, from_portable, portable

SETTINGS = "settings.json"
SHARED = ("database", "object_store", "cluster_members")
OWN_FILES = ("server.pem", "server-key.pem", "member.pem", "member-key.pem")
"""What each hub makes for itself at its start."""


def export_keys(settings: Settings, passphrase: str) -> bytes:
    """Return a hub's keys and settings for the others of its cluster; its store must be claimed.

    Raises `BackupError`.
    """
    if not settings.clustered:
        raise BackupError(
            "this hub is alone",
            where="cluster_members",
            fix="Set cluster_address and cluster_members in its hub.toml first.",
        )
    pki = settings.data_dir / PKI
    cluster_authority(pki)
    HubKeys.at(pki)  # made now where the hub has never run: all of them must have the same
    files = {path.name: path.read_bytes() for path in pki.iterdir() if path.is_file()}
    shared = {name: getattr(settings, name) for name in SHARED}
    public = {"public_https_port": settings.public_https_port or settings.https_port}
    public |= {"public_mqtt_port": settings.public_mqtt_port or settings.mqtt_port}
    files[SETTINGS] = json.dumps(portable(settings) | shared | public).encode()
    files[STORE_ID] = (settings.data_dir / STORE_ID).read_bytes()
    return sealed_keys.seal_files({n: f for n, f in files.items() if n not in OWN_FILES}, passphrase)


def join(sealed: bytes, passphrase: str, data_dir: Path, own: dict[str, Any]) -> Settings:
    """Make another process of a hub in ``data_dir``; ``own`` are its settings that differ.

    The database is asked first whether it is this hub's. Raises `AlreadyInitialisedError`, `RestoreError`,
    `HubSettingsError`, `DatabaseUnavailableError` and `ForeignDatabaseError`.
    """
    require_new(data_dir)
    files = sealed_keys.unseal_files(sealed, passphrase)
    try:
        exported = json.loads(files.pop(SETTINGS))
        store_id = files.pop(STORE_ID)
        database, store = exported.pop("database"), exported.pop("object_store")
        fingerprint = fingerprint_of(files[f"{CA}.pem"])
    except (KeyError, ValueError) as error:
        raise RestoreError("that is no file of `headland hub export-keys`", fix="Make it again.") from error
    settings = from_portable(
        exported | {name: value for name, value in own.items() if value is not None},
        data_dir=data_dir,
        database=database,
        object_store=store,
    )
    rows = database_of(settings)
    try:
        require_owner(rows, fingerprint)
    finally:
        rows.close()
    pki = make_folders(data_dir)
    for name, content in files.items():
        write_durably(pki / name, content, mode=PRIVATE_MODE)
    write_durably(data_dir / STORE_ID, store_id, mode=PRIVATE_MODE)
    write_settings(settings)
    return settings
