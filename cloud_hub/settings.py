"""The hub's settings: a TOML file, strict. An unknown key is refused, nothing is repaired."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cloud_hub.db.urls import postgresql_url
from cloud_hub.errors import HubSettingsError
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
    ``object_store_credentials`` names a file, empty for the environment. What may stand in
    ``outbound_allow`` is in `cloud_hub.outbound.policy.parse_allowed`.
    """

    data_dir: Path = DEFAULT_DATA_DIR
    database: str = ""
    listen: str = "127.0.0.1"
    host: str = "localhost"
    https_port: Port = 8443
    mqtt_port: Port = 8883
    max_model_bytes: Annotated[int, Meta(ge=1024)] = 2 * 1024**3
    keep_uploads_s: Annotated[int, Meta(ge=3600)] = 7 * 86_400
    keep_unlinked_s: Annotated[int, Meta(ge=600)] = 3600
    builds_at_once: Annotated[int, Meta(ge=1, le=64)] = 2
    activity_lease_s: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    activity_streams: Annotated[int, Meta(ge=1, le=10_000)] = 100
    telemetry_flush_s: Annotated[float, Meta(gt=0, le=86_400)] = 5.0
    object_store: str = ""
    object_store_credentials: str = ""
    telemetry_cache_bytes: Annotated[int, Meta(ge=1_000_000)] = 2 * 1024**3
    datastore_folders: tuple[str, ...] = ()
    datastore_endpoints: tuple[str, ...] = ()
    outbound_allow: tuple[str, ...] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        """Refuse a database URL that carries a password, and an ``outbound_allow`` that is none."""
        if self.database:
            postgresql_url(self.database)
        # What msgspec reports of a ValueError here is a `ValidationError` with the same words.
        parse_allowed(self.outbound_allow)

    @property
    def url(self) -> str:
        """Address of the HTTPS API."""
        return f"https://{self.host}:{self.https_port}"

    @property
    def bytes_url(self) -> str:
        """Where bytes are: ``object_store``, or the folder in the data folder."""
        return self.object_store or str(self.data_dir.absolute() / "objects")


OF_THE_MACHINE = frozenset({"data_dir", "database", "object_store", "object_store_credentials"})
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
