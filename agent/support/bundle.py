"""Writes the bundle: a tar of JSON files, whole or not at all, readable by its owner alone."""

import dataclasses
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import msgspec

from agent.checks.all import findings
from agent.container_logs.reading import last_lines, modules_with_logs
from agent.endpoints.control import REPORTED_PATH, ask
from agent.errors import BundleError
from agent.settings import Settings
from agent.support import facts
from contract.encoding import decode
from contract.errors import HeadlandError
from contract.messages import Reported

LOG_LINES = 1000


def write_bundle(settings: Settings, path: Path, *, with_logs: bool) -> list[str]:
    """Write a bundle to ``path`` (mode 0600); return the names of its files.

    Raises `BundleError` where it is there already or cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        if path.exists():
            raise BundleError("the file is there already", where=str(path), fix="Choose another --file.")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            names = _write(settings, file, with_logs=with_logs)
        beside.rename(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise BundleError(
            f"the bundle cannot be written ({error.strerror})",
            where=str(path),
            fix="Choose another --file; make room on the disk.",
        ) from error
    return names


def _write(settings: Settings, file: io.BufferedWriter, *, with_logs: bool) -> list[str]:
    names = []
    with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name, data in _members(settings, with_logs=with_logs):
            # Made here field by field: no user's or machine's name comes along.
            member = tarfile.TarInfo(f"headland-agent/{name}")
            member.size, member.mtime, member.mode = len(data), int(time.time()), 0o600
            tar.addfile(member, io.BytesIO(data))
            names.append(name)
    return names


def _members(settings: Settings, *, with_logs: bool) -> Iterator[tuple[str, bytes]]:
    parts: dict[str, facts.Facts] = {
        "about.json": facts.about,
        "settings.json": lambda: facts.settings_facts(settings),
        "identity.json": lambda: facts.identity_facts(settings),
        "desired.json": lambda: facts.desired_facts(settings),
        "memory.json": lambda: facts.memory_facts(settings),
        "containers.json": lambda: facts.container_facts(settings),
        "disk.json": lambda: facts.disk_facts(settings),
        "reported.json": lambda: _reported(settings),
        "check.json": lambda: [dataclasses.asdict(finding) for finding in findings(settings)],
    }
    for name, part in parts.items():
        yield name, json.dumps(_told(part), indent=2).encode()
    for module in modules_with_logs(settings) if with_logs else ():
        lines = last_lines(settings, module, LOG_LINES, {})
        yield f"logs/{module}.txt", "".join(f"{line.container} {line.text}\n" for line in lines).encode()


def _told(part: facts.Facts) -> object:
    """Return what a part tells; a broken one tells the kind of its error and stops no other."""
    try:
        return part()
    except HeadlandError as error:
        return {"error": error.code}
    except (OSError, ValueError) as error:
        return {"error": type(error).__name__}


def _reported(settings: Settings) -> object:
    """Return the daemon's last report to the hub, by the fields that a report has in this release."""
    status, body = ask(settings.state_dir, REPORTED_PATH)
    if status != HTTPStatus.OK:
        return None
    return msgspec.to_builtins(decode(body, Reported, what="report"))
