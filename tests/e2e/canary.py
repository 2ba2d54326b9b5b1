"""Looks for values where none may be: in files, in processes, and in what crosses the broker."""

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud_hub.broker.connection import connect
from cloud_hub.broker.keys import HubKeys
from tests.machine.test_support_bundle import forms


def in_files(folder: Path, value: str, *, but: frozenset[int] = frozenset()) -> set[str]:
    """Return the files below ``folder`` that hold a form of ``value``, or have it in their name.

    Each inode is read once. File systems whose device number is in ``but`` are passed over.
    """
    patterns, seen, found = forms(value.encode()), set[tuple[int, int]](), set[str]()
    for path in _files(folder, but):
        name = str(path.relative_to(folder))
        if any(pattern in name.encode() for pattern in patterns):
            found.add(name)
        try:
            facts = path.lstat()
            if (facts.st_dev, facts.st_ino) in seen or not facts.st_size:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            data = path.read_bytes()
            if any(pattern in data for pattern in patterns):
                found.add(name)
        except FileNotFoundError:
            continue  # gone since
    return found


def _files(folder: Path, but: frozenset[int]) -> Iterator[Path]:
    for entry in os.scandir(folder):
        path = Path(entry.path)
        if entry.is_symlink():
            continue
        if entry.is_dir():
            if path.stat().st_dev not in but:
                yield from _files(path, but)
        elif entry.is_file():
            yield path


def in_processes(value: str) -> set[str]:
    """Return the command lines and environments of all processes that hold a form of ``value``."""
    patterns, found = forms(value.encode()), set[str]()
    for process in Path("/proc").glob("[0-9]*"):
        for part in ("cmdline", "environ"):
            try:
                data = (process / part).read_bytes()
            except OSError:
                continue
            if any(pattern in data for pattern in patterns):
                found.add(f"{part} of {(process / 'comm').read_text().strip()}")
    return found


def in_bytes(data: bytes, value: str) -> bool:
    """Does ``data`` hold a form of ``value``?"""
    return any(pattern in data for pattern in forms(value.encode()))


@contextmanager
def listening(hub: Path) -> Iterator[list[bytes]]:
    """Yield what crosses the broker of the hub in ``hub`` meanwhile: every message, of every device."""
    heard: list[bytes] = []
    ready, stop = threading.Event(), threading.Event()
    config = (hub / "broker" / "nats-server.conf").read_text()
    port = int(re.findall(r'"port": (\d+)', config)[0])

    async def listen() -> None:
        client = await connect(port, HubKeys.at(hub / "pki").hub, name="canary")

        async def take(message: object) -> None:
            heard.append(repr(getattr(message, "subject", "")).encode() + getattr(message, "data", b""))

        await client.subscribe(">", cb=take)
        await client.flush()
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.05)
        await client.flush()
        await client.close()

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    assert ready.wait(30), "nobody listens on the broker"
    try:
        yield heard
    finally:
        stop.set()
        thread.join()
