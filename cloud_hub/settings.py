"""The hub's settings: a TOML file, strict. An unknown key is refused, nothing is repaired."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cloud_hub.errors import HubSettingsError

DEFAULT_DATA_DIR = Path("/var/lib/headland-hub")
Port = Annotated[int, Meta(ge=1, le=65_535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an owner may set.

    ``listen`` is the address of both listeners; ``host`` the name that people and devices reach
    the hub by, which its certificate carries; sizes are in bytes, times in seconds.
    """

    data_dir: Path = DEFAULT_DATA_DIR
    listen: str = "127.0.0.1"
    host: str = "localhost"
    https_port: Port = 8443
    mqtt_port: Port = 8883
    max_model_bytes: Annotated[int, Meta(ge=1024)] = 2 * 1024**3
    keep_uploads_s: Annotated[int, Meta(ge=3600)] = 7 * 86_400
    keep_unlinked_s: Annotated[int, Meta(ge=600)] = 3600
    builds_at_once: Annotated[int, Meta(ge=1, le=64)] = 2
    telemetry_flush_s: Annotated[float, Meta(gt=0, le=86_400)] = 5.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def url(self) -> str:
        """Address of the HTTPS API."""
        return f"https://{self.host}:{self.https_port}"


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
