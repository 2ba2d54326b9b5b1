"""The agent's settings: a TOML file, strict. An unknown key is refused, nothing is repaired."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.errors import SettingsError

DEFAULT_STATE_DIR = Path("/var/lib/headland-agent")
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Outbox(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the outbox on disk."""

    max_bytes: Annotated[int, Meta(ge=64 * 1024)] = 256 * 1024 * 1024
    batch_samples: Annotated[int, Meta(ge=1, le=10_000)] = 500
    resend_after_s: Seconds = 10.0


class Disk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What pulls leave free of the disk of ``state_dir``: the larger of the two."""

    reserve_bytes: Annotated[int, Meta(ge=0)] = 64 * 1024 * 1024
    reserve_percent: Annotated[float, Meta(ge=0, le=90)] = 0.0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an owner may set on a device.

    ``state_dir`` holds identity, layers, containers and the outbox; ``driver`` is what runs
    containers; the rest are times in seconds.
    """

    state_dir: Path = DEFAULT_STATE_DIR
    driver: Literal["auto", "runc", "process"] = "auto"
    report_interval_s: Seconds = 60.0
    reconcile_interval_s: Seconds = 2.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    outbox: Outbox = Outbox()
    disk: Disk = Disk()

    @property
    def identity_dir(self) -> Path:
        """Where the device's key and certificate are."""
        return self.state_dir / "identity"


def load(path: Path | None, *, state_dir: Path | None = None, driver: str | None = None) -> Settings:
    """Read ``path`` (none: defaults), then apply what the command line says.

    Raises `SettingsError` that names the file, the key and the reason.
    """
    where = str(path) if path else "command line"
    try:
        raw = tomllib.loads(path.read_text()) if path else {}
    except OSError as error:
        raise SettingsError(
            f"cannot read the settings file ({error.strerror})", where=where, fix="Check --config."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"not TOML: {error}", where=where, fix="Correct that line.") from error
    if state_dir is not None:
        raw["state_dir"] = str(state_dir)
    if driver is not None:
        raw["driver"] = driver
    try:
        return msgspec.convert(raw, Settings, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise SettingsError(
            str(error), where=where, fix="See configs/agent.toml for every key and its default."
        ) from error


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError("Expected a path")
