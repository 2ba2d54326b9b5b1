"""The agent's settings: a TOML file, strict. An unknown key is refused, nothing is repaired."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.artifacts.flow import FlowRules
from agent.artifacts.places import Source
from agent.artifacts.windows import PATTERN, read_window
from agent.errors import SettingsError
from agent.neighbours.settings import Neighbours
from agent.network.proxies import Proxy
from agent.outbox.policy import StreamPolicy
from contract.ids import STREAM

DEFAULT_STATE_DIR = Path("/var/lib/headland-agent")
DOCKER_SOCKET = Path("/run/docker.sock")
LEAST_BYTES_PER_S = 1024
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Outbox(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the outbox on disk, and how its streams are kept: those named, and all others."""

    max_bytes: Annotated[int, Meta(ge=64 * 1024)] = 256 * 1024 * 1024
    batch_samples: Annotated[int, Meta(ge=1, le=10_000)] = 500
    resend_after_s: Seconds = 10.0
    max_bytes_per_s: Annotated[int, Meta(ge=0)] = 0
    default: StreamPolicy = StreamPolicy()
    streams: dict[Annotated[str, Meta(pattern=f"^{STREAM.pattern}$")], StreamPolicy] = {}


class Logs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of what one container may leave on disk of what it prints."""

    max_bytes: Annotated[int, Meta(ge=16 * 1024)] = 4 * 1024 * 1024
    files: Annotated[int, Meta(ge=1, le=100)] = 2


class Disk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What pulls leave free of the disk of ``state_dir``: the larger of the two."""

    reserve_bytes: Annotated[int, Meta(ge=0)] = 64 * 1024 * 1024
    reserve_percent: Annotated[float, Meta(ge=0, le=90)] = 0.0


class Pull(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast, when and for how long images may be pulled."""

    max_bytes_per_s: Annotated[int, Meta(ge=0)] = 0
    windows: tuple[Annotated[str, Meta(pattern=PATTERN)], ...] = ()
    windows_clock: Literal["local", "utc"] = "local"
    deadline_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for a bound that no download can keep, or a window that never opens."""
        if 0 < self.max_bytes_per_s < LEAST_BYTES_PER_S:
            raise ValueError(f"max_bytes_per_s is 0 (no bound) or at least {LEAST_BYTES_PER_S}")
        self.rules()

    def rules(self) -> FlowRules:
        """Return them as the pulls have them."""
        return FlowRules(
            max_bytes_per_s=self.max_bytes_per_s,
            windows=tuple(read_window(text) for text in self.windows),
            deadline_s=self.deadline_s,
            utc=self.windows_clock == "utc",
        )


class SelfUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """May the hub change the agent's version, and how long may a new one take to prove itself?"""

    allowed: bool = True
    trial_s: Annotated[float, Meta(ge=5, le=3600)] = 300.0


class Docker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the container engine of the driver ``docker`` answers: Docker's or Podman's."""

    socket: Path = DOCKER_SOCKET


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an owner may set on a device.

    ``state_dir`` holds identity, layers, containers and the outbox; ``driver`` is what runs
    containers, runc in ``user_namespaces`` where it can; ``policy_file`` says what modules may have of the
    device; the rest are times in seconds.
    """

    state_dir: Path = DEFAULT_STATE_DIR
    driver: Literal["auto", "runc", "docker", "process"] = "auto"
    user_namespaces: Literal["auto", "off"] = "auto"
    report_interval_s: Seconds = 60.0
    reconcile_interval_s: Seconds = 2.0
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 10
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    policy_file: str = ""
    outbox: Outbox = Outbox()
    logs: Logs = Logs()
    disk: Disk = Disk()
    pull: Pull = Pull()
    self_update: SelfUpdate = SelfUpdate()
    sources: tuple[Source, ...] = ()
    neighbours: Neighbours = Neighbours()
    proxy: Proxy = Proxy()
    docker: Docker = Docker()

    @property
    def policy_path(self) -> Path | None:
        """The owner's policy; None: the strictest."""
        return Path(self.policy_file) if self.policy_file else None

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
