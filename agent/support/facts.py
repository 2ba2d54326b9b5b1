"""The state of a device as far as a bundle may tell it."""

import hashlib
import os
import platform
import ssl
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from agent.checks.identity import hub_address, validity
from agent.identity import store
from agent.outbox.policy import StreamPolicy
from agent.settings import Settings
from agent.version import VERSION
from contract.encoding import decode

DISTRIBUTIONS = ("msgspec", "paho-mqtt", "cryptography", "backports.zstd")
MARKS = ("started", "ready", "draining")


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which image."""

    name: str
    digest: str


class ModuleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A module without its environment."""

    name: str
    image: ImageFacts


class DesiredFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The document in force."""

    generation: int
    rollout: str
    issued_at: datetime
    not_after: datetime
    modules: tuple[ModuleFacts, ...]


class FailureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """In which generation a module failed; the words are in the device's report."""

    generation: int


class MemoryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What passed and what failed."""

    committed: dict[str, ModuleFacts] = {}
    failed: dict[str, FailureFacts] = {}


class RecordFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A container."""

    id: str
    module: ModuleFacts
    boot_id: str


def about() -> dict[str, object]:
    """Return versions and the machine's kind."""
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "-"
    return {
        "at": datetime.now(UTC).isoformat(),
        "agent": VERSION,
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "distributions": versions,
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "uid": os.geteuid(),
        "executable": sys.executable,
    }


def settings_facts(settings: Settings) -> dict[str, object]:
    """Return the settings, each by its name: a new one is not in here before somebody thought about it."""
    return {
        "state_dir": str(settings.state_dir),
        "driver": settings.driver,
        "user_namespaces": settings.user_namespaces,
        "report_interval_s": settings.report_interval_s,
        "reconcile_interval_s": settings.reconcile_interval_s,
        "keepalive_s": settings.keepalive_s,
        "log_level": settings.log_level,
        "policy_file": settings.policy_file,
        "outbox": {
            "max_bytes": settings.outbox.max_bytes,
            "batch_samples": settings.outbox.batch_samples,
            "resend_after_s": settings.outbox.resend_after_s,
            "max_bytes_per_s": settings.outbox.max_bytes_per_s,
            "default": _policy(settings.outbox.default),
            "streams": {name: _policy(one) for name, one in settings.outbox.streams.items()},
        },
        "logs": {"max_bytes": settings.logs.max_bytes, "files": settings.logs.files},
        "disk": {
            "reserve_bytes": settings.disk.reserve_bytes,
            "reserve_percent": settings.disk.reserve_percent,
        },
        "self_update": {
            "allowed": settings.self_update.allowed,
            "trial_s": settings.self_update.trial_s,
        },
        "pull": {
            "max_bytes_per_s": settings.pull.max_bytes_per_s,
            "windows": list(settings.pull.windows),
            "windows_clock": settings.pull.windows_clock,
            "deadline_s": settings.pull.deadline_s,
        },
        # Neither address may hold a user or a password, and a file of credentials is only named.
        "sources": [
            {"at": one.at, "ca_file": one.ca_file, "neighbour": one.neighbour} for one in settings.sources
        ],
        "neighbours": {
            "listen": settings.neighbours.listen,
            "allow": list(settings.neighbours.allow),
            "cache_bytes": settings.neighbours.cache_bytes,
            "max_bytes_per_s": settings.neighbours.max_bytes_per_s,
            "wait_s": settings.neighbours.wait_s,
        },
        "docker": {"socket": str(settings.docker.socket)},
        "proxy": {
            "http": settings.proxy.http,
            "https": settings.proxy.https,
            "no_proxy": list(settings.proxy.no_proxy),
            "credentials_file": settings.proxy.credentials_file,
            "ca_file": settings.proxy.ca_file,
        },
    }


def _policy(stream: StreamPolicy) -> dict[str, object]:
    return {"priority": stream.priority, "ttl_s": stream.ttl_s, "on_full": stream.on_full}


def identity_facts(settings: Settings) -> dict[str, object]:
    """Return who the device is; of keys only their ids."""
    found = store.load(settings.identity_dir)
    host, port = hub_address(found)
    since, until = validity(found)
    ca = ssl.PEM_cert_to_DER_cert(found.ca_file.read_text())
    return {
        "device": found.facts.device,
        "workspace": found.facts.workspace,
        "hub": f"{host}:{port}",
        "broker": f"{found.facts.mqtt_host}:{found.facts.mqtt_port}",
        "desired_key_ids": sorted(found.facts.desired_keys),
        "certificate_from": since.isoformat(),
        "certificate_until": until.isoformat(),
        "ca_sha256": hashlib.sha256(ca).hexdigest(),
    }


def desired_facts(settings: Settings) -> object:
    """Return the document in force, or None."""
    path = settings.state_dir / "desired/desired.json"
    return _built(path, DesiredFacts, "desired document") if path.exists() else None


def memory_facts(settings: Settings) -> object:
    """Return what passed and what failed, or None."""
    path = settings.state_dir / "desired/memory.json"
    return _built(path, MemoryFacts, "memory") if path.exists() else None


def container_facts(settings: Settings) -> list[object]:
    """Return the containers, each with its marks and the sizes of its logs."""
    found: list[object] = []
    for path in sorted((settings.state_dir / "containers").glob("*/record.json")):
        marks = [mark for mark in MARKS if (path.parent / mark).exists()]
        logs = {part.name: part.stat().st_size for part in sorted(path.parent.glob("log*"))}
        record = decode(path.read_bytes(), RecordFacts, what="container record")
        found.append({"record": msgspec.to_builtins(record), "marks": marks, "log_bytes": logs})
    return found


def disk_facts(settings: Settings) -> dict[str, object]:
    """Return the room on the disk, and what the outbox takes of it."""
    room = os.statvfs(settings.state_dir)
    return {
        "free_bytes": room.f_bavail * room.f_frsize,
        "size_bytes": room.f_blocks * room.f_frsize,
        "free_inodes": room.f_favail,
        "outbox_bytes": sum(path.stat().st_size for path in settings.state_dir.glob("outbox.db*")),
    }


def _built(path: Path, kind: type[msgspec.Struct], what: str) -> object:
    return msgspec.to_builtins(decode(path.read_bytes(), kind, what=what))


Facts = Callable[[], object]
