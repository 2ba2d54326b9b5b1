"""`headland hub init`: a new hub in a data folder, and the first administrator's token."""

import json
from pathlib import Path

from cloud_hub.access.people import first_administrator
from cloud_hub.broker.cluster import Cluster, split_address
from cloud_hub.db.engine import Database
from cloud_hub.db.owner import claim
from cloud_hub.errors import AlreadyInitialisedError, NotInitialisedError
from cloud_hub.keys import open_master_keys
from cloud_hub.pki.authority import CLUSTER_CA, Authority
from cloud_hub.pki.durable_file import PRIVATE_MODE, PUBLIC_MODE, write_durably
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.settings import Settings

SETTINGS_FILE = "hub.toml"
PKI = "pki"
SIGNING_KEY = "desired-key.pem"


def database_of(settings: Settings) -> Database:
    """Return the hub's database, not yet migrated."""
    return Database(settings.database or settings.data_dir / "hub.db")


def initialise(settings: Settings) -> str:
    """Make the CA, all keys, the database and the settings file; return an Admin token.

    Raises `AlreadyInitialisedError` where there is a hub already: nothing of it is touched.
    """
    data_dir = settings.data_dir
    require_new(data_dir)
    pki = make_folders(data_dir)
    if not (pki / "ca.pem").exists():
        Authority.create(pki)
    if not (pki / SIGNING_KEY).exists():
        DesiredSigner.create(pki / SIGNING_KEY)
    issue_server_certificate(settings)
    database = database_of(settings)
    database.migrate()
    claim(database, Authority.load(pki).fingerprint)
    open_master_keys(pki, database)
    token = first_administrator(database, "admin")
    database.close()
    write_settings(settings)
    return token


def require_new(data_dir: Path) -> None:
    """Raise `AlreadyInitialisedError` where there is a hub in ``data_dir``."""
    if (data_dir / SETTINGS_FILE).exists():
        raise AlreadyInitialisedError(
            "there is a hub in this folder already",
            where=str(data_dir),
            fix="Run `headland hub up`, or choose another --data-dir.",
        )


def make_folders(data_dir: Path) -> Path:
    """Make the data folder and the folder of keys in it, for the hub alone; return the latter."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    data_dir.chmod(0o700)
    pki = data_dir / PKI
    pki.mkdir(exist_ok=True, mode=0o700)
    return pki


def write_settings(settings: Settings) -> None:
    """Write the settings file, last of all: its presence says that all the rest is there."""
    write_durably(settings.data_dir / SETTINGS_FILE, _toml(settings).encode(), mode=PUBLIC_MODE)


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


def issue_member_certificate(settings: Settings) -> Cluster | None:
    """Give one of several hubs a fresh certificate for the others; None for a hub that is alone."""
    if not settings.clustered:
        return None
    pki = settings.data_dir / PKI
    host, _ = split_address(settings.cluster_address)
    key_pem, certificate_pem = cluster_authority(pki).issue_member(host)
    write_durably(pki / "member-key.pem", key_pem, mode=PRIVATE_MODE)
    write_durably(pki / "member.pem", certificate_pem, mode=PUBLIC_MODE)
    return Cluster(
        address=settings.cluster_address,
        members=settings.cluster_members,
        cert_file=pki / "member.pem",
        key_file=pki / "member-key.pem",
        ca_file=pki / f"{CLUSTER_CA}.pem",
    )


def cluster_authority(pki: Path) -> Authority:
    """Return the authority between hubs, made by the first of them that needs it."""
    if (pki / f"{CLUSTER_CA}.pem").exists():
        return Authority.load(pki, stem=CLUSTER_CA)
    return Authority.create(pki, stem=CLUSTER_CA, name="Headland hubs CA")


def _toml(settings: Settings) -> str:
    lines = ["# Settings of this hub; every key is in configs/hub.toml."]
    for field in settings.__struct_fields__:
        value = getattr(settings, field)
        # JSON writes numbers, texts and lists as TOML does.
        lines.append(f"{field} = {json.dumps(str(value) if isinstance(value, Path) else value)}")
    return "\n".join(lines) + "\n"
