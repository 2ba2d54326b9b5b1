"""The hub's settings: a TOML file, strict. An unknown key is refused, nothing is repaired."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cloud_hub.broker.cluster import split_address
from cloud_hub.db.urls import postgresql_url
from cloud_hub.errors import HubSettingsError
from cloud_hub.oci_client.rules import parse_rules
from cloud_hub.outbound.policy import parse_allowed

DEFAULT_DATA_DIR = Path("/var/lib/headland-hub")
Port = Annotated[int, Meta(ge=1, le=65_535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an owner may set.

    ``database`` is a URL without a password, or empty for SQLite in the data folder; ``listen`` is the
    address of both listeners; ``host`` the name that people and devices reach the hub by, which its
    certificate carries; sizes are in bytes, times in seconds.
    ``datastore_folders`` and ``datastore_endpoints`` are what people may attach beside the clouds' own.
    ``object_store`` is a URL as in `cloud_hub.blobs.location`, empty for ``objects`` in the data folder;
    ``debian_mirror`` is where the base debian comes from, empty for the mirror of the machine's own apt.
    ``object_store_credentials`` names a file, empty for the environment. What may stand in
    ``outbound_allow`` is in `cloud_hub.outbound.policy.parse_allowed`, and in ``registry_realms`` and
    ``registry_plain_http`` in `cloud_hub.oci_client.rules.parse_rules`; ``registry_certificates`` names a PEM
    file of authorities that registries are trusted by, beside the system's. ``public_https_port`` and
    ``public_mqtt_port`` are those of what stands before the hub, 0 where nothing does. Of several hubs
    ``cluster_members`` are the ``host:port`` at which each is reached by the others, this one's among
    them as ``cluster_address``.
    """

    data_dir: Path = DEFAULT_DATA_DIR
    database: str = ""
    listen: str = "127.0.0.1"
    host: str = "localhost"
    https_port: Port = 8443
    mqtt_port: Port = 8883
    public_https_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    public_mqtt_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    cluster_address: str = ""
    cluster_members: tuple[str, ...] = ()
    max_model_bytes: Annotated[int, Meta(ge=1024)] = 2 * 1024**3
    keep_uploads_s: Annotated[int, Meta(ge=3600)] = 7 * 86_400
    keep_unlinked_s: Annotated[int, Meta(ge=600)] = 3600
    builds_at_once: Annotated[int, Meta(ge=1, le=64)] = 2
    delta_versions: Annotated[int, Meta(ge=0, le=100)] = 3
    debian_mirror: str = ""
    activity_lease_s: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    activity_streams: Annotated[int, Meta(ge=1, le=10_000)] = 100
    telemetry_flush_s: Annotated[float, Meta(gt=0, le=86_400)] = 5.0
    object_store: str = ""
    object_store_credentials: str = ""
    telemetry_cache_bytes: Annotated[int, Meta(ge=1_000_000)] = 2 * 1024**3
    datastore_folders: tuple[str, ...] = ()
    datastore_endpoints: tuple[str, ...] = ()
    outbound_allow: tuple[str, ...] = ()
    registry_realms: tuple[str, ...] = ("registry-1.docker.io=https://auth.docker.io",)
    registry_plain_http: tuple[str, ...] = ()
    registry_certificates: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        """Refuse a database URL with a password, entries of lists that are none, half a cluster."""
        if self.database:
            postgresql_url(self.database)
        # What msgspec reports of a ValueError here is a `ValidationError` with the same words.
        parse_allowed(self.outbound_allow)
        parse_rules(self.registry_realms, self.registry_plain_http)
        if self.cluster_address or self.cluster_members:
            self._check_cluster()

    def _check_cluster(self) -> None:
        """Several hubs share rows and bytes, and agree by majority."""
        try:
            for address in self.cluster_members:
                split_address(address)
        except ValueError as error:
            raise _wrong_cluster("an address is not host:port", "Write such as 10.0.0.1:6222.") from error
        if len(self.cluster_members) not in {3, 5} or len(set(self.cluster_members)) not in {3, 5}:
            raise _wrong_cluster("there must be three or five different addresses", "Name each hub once.")
        if self.cluster_address not in self.cluster_members:
            raise _wrong_cluster("cluster_address is not among them", "Name this hub too.")
        if not self.database or not self.object_store:
            raise _wrong_cluster("several hubs share rows and bytes", "Set database and object_store.")

    @property
    def clustered(self) -> bool:
        """Is it one of several hubs?"""
        return bool(self.cluster_members)

    @property
    def url(self) -> str:
        """Address of the HTTPS API."""
        return f"https://{self.host}:{self.public_https_port or self.https_port}"

    @property
    def mqtt_address(self) -> tuple[str, int]:
        """Host and port at which devices reach the broker."""
        return self.host, self.public_mqtt_port or self.mqtt_port

    @property
    def bytes_url(self) -> str:
        """Where bytes are: ``object_store``, or the folder in the data folder."""
        return self.object_store or str(self.data_dir.absolute() / "objects")


def _wrong_cluster(what: str, fix: str) -> HubSettingsError:
    return HubSettingsError(what, where="cluster_members", fix=fix)


OF_THE_MACHINE = frozenset(
    {
        "data_dir",
        "database",
        "object_store",
        "object_store_credentials",
        "cluster_address",
        "cluster_members",
    }
)
"""Settings that say where this hub's own data are, and not how it works."""


def portable(settings: Settings) -> dict[str, object]:
    """Return the settings that a hub keeps when it moves, as JSON can say them."""
    found = {
        name: getattr(settings, name) for name in settings.__struct_fields__ if name not in OF_THE_MACHINE
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def from_portable(values: dict[str, object], *, data_dir: Path, database: str, object_store: str) -> Settings:
    """Return the settings of a hub that was moved here; raises `HubSettingsError`."""
    here = {"data_dir": str(data_dir), "database": database, "object_store": object_store}
    try:
        return msgspec.convert(values | here, Settings, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise HubSettingsError(str(error), where="the backup's settings", fix="Use its release.") from error


def load(path: Path, **overrides: object) -> Settings:
    """Read ``path``, then apply what the command line says (keys with a value of None are not said).

    Raises `HubSettingsError` that names the file, the key and the reason.
    """
    where = str(path)
    try:
        raw = tomllib.loads(path.read_text()) if path.exists() else {}
    except OSError as error:
        raise HubSettingsError(
            f"cannot read the settings file ({error.strerror})", where=where, fix="Check its permissions."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HubSettingsError(f"not TOML: {error}", where=where, fix="Correct that line.") from error
    raw |= {
        key: str(value) if isinstance(value, Path) else value
        for key, value in overrides.items()
        if value is not None
    }
    try:
        return msgspec.convert(raw, Settings, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise HubSettingsError(
            str(error), where=where, fix="See configs/hub.toml for every key and its default."
        ) from error


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError("Expected a path")
