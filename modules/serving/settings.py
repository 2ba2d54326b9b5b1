"""The environment, read once and strictly: every fault is reported in one error."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.agent_api import IMAGE_ENV, LISTEN_FD, LISTENERS_ENV, MODULE_ENV, SOCKET_ENV
from modules.serving.errors import ServingSettingsError

MIB = 1024 * 1024
MOST_LISTENERS = 64
LISTEN_FIX = (
    f"Hand the listening socket over as descriptor {LISTEN_FD} with LISTEN_FDS=1, or set HEADLAND_LISTEN "
    "to unix:/path or tcp:127.0.0.1:8080"
)


@dataclass(frozen=True)
class InheritedListener:
    """The listening sockets are ``count`` descriptors from ``fd`` on, bound and listening already."""

    fd: int
    count: int = 1


@dataclass(frozen=True)
class HandedListener:
    """The agent hands the listening sockets over at the Unix socket ``path``."""

    path: str


@dataclass(frozen=True)
class UnixListener:
    """Bind a Unix socket at ``path``: for a run by hand."""

    path: str


@dataclass(frozen=True)
class TcpListener:
    """Bind a TCP socket: for a run by hand."""

    host: str
    port: int


Listen = InheritedListener | HandedListener | UnixListener | TcpListener


@dataclass(frozen=True)
class Settings:
    """What the environment says; ``agent_socket`` is None where there is no agent to speak to."""

    listen: Listen
    model_dir: Path
    model_name: str
    model_version: str
    script: Path | None
    agent_socket: str | None
    module: str
    image: str
    ort_threads: int
    body_limit_bytes: int
    request_timeout_s: float
    drain_idle_s: float
    stop_grace_s: float
    telemetry_capacity: int


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings out of ``environ``; raises `ServingSettingsError` that names every fault."""
    faults: list[str] = []
    listen = _read_listen(environ, faults)
    model_dir = environ.get("AZUREML_MODEL_DIR", "")
    script = environ.get("HEADLAND_SCRIPT", "")
    if not model_dir and not script:
        faults.append("AZUREML_MODEL_DIR is not set: name the folder that holds the model")
    settings = Settings(
        listen=listen,
        model_dir=Path(model_dir or "."),
        model_name=environ.get("HEADLAND_MODEL_NAME") or "model",
        model_version=environ.get("HEADLAND_MODEL_VERSION") or "1",
        script=Path(script) if script else None,
        agent_socket=environ.get(SOCKET_ENV) or None,
        module=environ.get(MODULE_ENV, ""),
        image=environ.get(IMAGE_ENV, ""),
        ort_threads=int(_read_number(environ, "HEADLAND_ORT_THREADS", 1, faults, low=1, whole=True)),
        body_limit_bytes=int(
            _read_number(environ, "HEADLAND_BODY_LIMIT_BYTES", 16 * MIB, faults, low=1, whole=True)
        ),
        request_timeout_s=_read_number(environ, "HEADLAND_REQUEST_TIMEOUT_S", 60, faults, low=0.1),
        drain_idle_s=_read_number(environ, "HEADLAND_DRAIN_IDLE_S", 3, faults),
        stop_grace_s=_read_number(environ, "HEADLAND_STOP_GRACE_S", 10, faults),
        telemetry_capacity=int(
            _read_number(environ, "HEADLAND_TELEMETRY_CAPACITY", 100_000, faults, low=1, whole=True)
        ),
    )
    if faults:
        raise ServingSettingsError("; ".join(faults), where="environment")
    return settings


def _read_listen(environ: Mapping[str, str], faults: list[str]) -> Listen:
    """Return where to listen; a socket that was handed over goes before HEADLAND_LISTEN."""
    if "LISTEN_FDS" in environ:
        count = environ["LISTEN_FDS"]
        if not (count.isascii() and count.isdigit() and 0 < int(count) <= MOST_LISTENERS):
            faults.append(f"LISTEN_FDS is not a number from 1 to {MOST_LISTENERS}")
            return InheritedListener(LISTEN_FD)
        return InheritedListener(LISTEN_FD, int(count))
    if handing := environ.get(LISTENERS_ENV):
        return HandedListener(handing)
    kind, _, address = environ.get("HEADLAND_LISTEN", "").partition(":")
    if kind == "unix" and address:
        return UnixListener(address)
    host, _, port = address.rpartition(":")
    if kind == "tcp" and host and port.isascii() and port.isdigit() and int(port) < 65536:
        return TcpListener(host.strip("[]"), int(port))
    said = "HEADLAND_LISTEN is not an address" if kind else "no socket to serve on"
    faults.append(f"{said}. {LISTEN_FIX}")
    return InheritedListener(LISTEN_FD)


def _read_number(
    environ: Mapping[str, str],
    name: str,
    default: float,
    faults: list[str],
    *,
    low: float = 0,
    whole: bool = False,
) -> float:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = float(int(text) if whole else float(text))
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < low:
        faults.append(f"{name} is not a {'whole number' if whole else 'number'} from {low:g}")
        return default
    return value
