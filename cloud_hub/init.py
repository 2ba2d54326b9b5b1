"""`headland hub init`: a new hub in a data folder, and the first administrator's token."""

import json
import os
from pathlib import Path

from cloud_hub.access.service import Access
from cloud_hub.db.engine import Database
from cloud_hub.errors import AlreadyInitialisedError, NotInitialisedError
from cloud_hub.pki.authority import Authority
from cloud_hub.pki.durable_file import PRIVATE_MODE, PUBLIC_MODE, write_durably
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.settings import Settings

SETTINGS_FILE = "hub.toml"
PKI = "pki"
SIGNING_KEY = "desired-key.pem"


def database_of(settings: Settings) -> Database:
    """Return the hub's database, not yet migrated."""
    return Database(f"sqlite:///{settings.data_dir / 'hub.db'}")


def initialise(settings: Settings) -> str:
    """Make the CA, the signing key, the database and the settings file; return an Admin token.

    Raises `AlreadyInitialisedError` where there is a hub already: nothing of it is touched.
    """
    data_dir = settings.data_dir
    if (data_dir / SETTINGS_FILE).exists():
        raise AlreadyInitialisedError(
            "there is a hub in this folder already",
            where=str(data_dir),
            fix="Run `headland hub up`, or choose another --data-dir.",
        )
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    data_dir.chmod(0o700)
    pki = data_dir / PKI
    pki.mkdir(exist_ok=True, mode=0o700)
    if not (pki / "ca.pem").exists():
        Authority.create(pki)
    if not (pki / SIGNING_KEY).exists():
        DesiredSigner.create(pki / SIGNING_KEY)
    issue_server_certificate(settings)
    database = database_of(settings)
    database.migrate()
    token = Access(database).create_token(os.environ.get("USER", "admin"), "Admin", None, None)
    database.close()
    # Last: its presence says that all the rest is there.
    write_durably(data_dir / SETTINGS_FILE, _toml(settings).encode(), mode=PUBLIC_MODE)
    return token


def require_initialised(data_dir: Path) -> None:
    """Raise `NotInitialisedError` where there is no hub in ``data_dir``."""
    if not (data_dir / SETTINGS_FILE).exists():
        raise NotInitialisedError(
            "there is no hub in this folder", where=str(data_dir), fix="Run `headland hub init` first."
        )


def issue_server_certificate(settings: Settings) -> tuple[Path, Path]:
    """Give the server a fresh certificate for its host name; return (certificate, key) files."""
    pki = settings.data_dir / PKI
    hosts = list(dict.fromkeys([settings.host, "localhost", "127.0.0.1", "::1"]))
    key_pem, certificate_pem = Authority.load(pki).issue_server(hosts)
    write_durably(pki / "server-key.pem", key_pem, mode=PRIVATE_MODE)
    write_durably(pki / "server.pem", certificate_pem, mode=PUBLIC_MODE)
    return pki / "server.pem", pki / "server-key.pem"


def _toml(settings: Settings) -> str:
    lines = ["# Settings of this hub; every key is in configs/hub.toml."]
    for field in settings.__struct_fields__:
        value = getattr(settings, field)
        # JSON writes numbers, texts and lists as TOML does.
        lines.append(f"{field} = {json.dumps(str(value) if isinstance(value, Path) else value)}")
    return "\n".join(lines) + "\n"
