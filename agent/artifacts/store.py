"""The content store: small blobs, partial downloads, and layers unpacked by their diff id.

``blobs/sha256/{hex}``, ``partial/{hex}``, ``layers/{hex}``, ``recipes/{hex}``. A layer is unpacked beside and
becomes visible by one rename after the file system was synced, so a power cut leaves it whole or
absent.
"""

import ctypes
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from agent.artifacts.room import Reserve, Room
from agent.artifacts.shelf import NoShelf, Shelf
from agent.durable import sync_folder, write_durably
from contract.digests import hex_of

UNPACKING = ".unpacking-"
CLEAR_TRIES, CLEAR_WAIT_S = 20, 0.05
NOTHING = Reserve()


class ContentStore:
    """What this device holds of images."""

    def __init__(self, root: Path, reserve: Reserve = NOTHING) -> None:
        self._blobs = root / "blobs" / "sha256"
        self._partial = root / "partial"
        self._layers = root / "layers"
        self._recipes = root / "recipes"
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()
        self._claims: list[str] = []
        self._claims_lock = threading.Lock()
        for folder in (self._blobs, self._partial, self._layers, self._recipes):
            folder.mkdir(parents=True, exist_ok=True)
        self.room = Room(root, reserve)
        self.shelf: Shelf = NoShelf()
        for left in self._layers.glob(f"{UNPACKING}*"):
            _clear(left)
        for left in self._recipes.glob(f"{UNPACKING}*"):
            left.unlink(missing_ok=True)

    def read_blob(self, digest: str) -> bytes | None:
        """Return a manifest or configuration, or none where it is not here."""
        try:
            return (self._blobs / hex_of(digest)).read_bytes()
        except FileNotFoundError:
            return None

    def open_blob(self, digest: str) -> IO[bytes] | None:
        """Open what `read_blob` reads."""
        try:
            return (self._blobs / hex_of(digest)).open("rb")
        except FileNotFoundError:
            return None

    def save_blob(self, digest: str, data: bytes) -> None:
        """Keep a blob whose digest was checked."""
        write_durably(self._blobs / hex_of(digest), data)

    def partial_file(self, digest: str) -> Path:
        """Where a download goes until it is whole; what is there already is gone on with."""
        return self._partial / hex_of(digest)

    @contextmanager
    def exclusive(self, digest: str) -> Iterator[None]:
        """Let one thread at a time bring this content here: images share layers and their files."""
        with self._locks_lock:
            lock = self._locks.setdefault(digest, threading.Lock())
        with lock:
            yield

    @contextmanager
    def claimed(self, digests: Iterable[str]) -> Iterator[None]:
        """Let `make_room` leave these layers and partial downloads alone; claim before you look for them."""
        names = [hex_of(digest) for digest in digests]
        with self._claims_lock:
            self._claims += names
        try:
            yield
        finally:
            with self._claims_lock:
                for name in names:
                    self._claims.remove(name)

    def layer(self, diff_id: str) -> Path | None:
        """Return a layer's folder, or none where it is not here."""
        path = self._layers / hex_of(diff_id)
        return path if path.is_dir() else None

    @contextmanager
    def new_layer(self, diff_id: str) -> Iterator[Path]:
        """Yield an empty folder; it becomes the layer when the block ends well, and nothing otherwise."""
        beside = self._layers / f"{UNPACKING}{uuid.uuid4().hex}"
        beside.mkdir()
        beside.chmod(0o755)
        try:
            yield beside
            _sync_file_system(beside)
            target = self._layers / hex_of(diff_id)
            if not target.exists():
                beside.rename(target)
                sync_folder(self._layers)
                # Only then: a recipe without its layer would be believed when the layer comes another way.
                if self.recipe_beside(beside).exists():
                    self.recipe_beside(beside).rename(self._recipes / hex_of(diff_id))
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            self.recipe_beside(beside).unlink(missing_ok=True)

    def recipe_beside(self, folder: Path) -> Path:
        """Return where the recipe of a layer that is being unpacked is written, if one is."""
        return self._recipes / folder.name

    def recipe(self, diff_id: str) -> Path | None:
        """Return the recipe of a layer, or none where it was unpacked without one."""
        path = self._recipes / hex_of(diff_id)
        return path if path.is_file() and self.layer(diff_id) is not None else None

    def has_recipes(self) -> bool:
        """Is there a layer that a delta could be applied to?"""
        return any(not path.name.startswith(".") for path in self._recipes.iterdir())

    def forget_recipe(self, diff_id: str) -> None:
        """Let no delta be applied to this layer any more: it is not what it was."""
        (self._recipes / hex_of(diff_id)).unlink(missing_ok=True)

    @property
    def work_dir(self) -> Path:
        """Return where temporary files without a name go, on the disk of the store."""
        return self._partial

    def sweep(self, blobs: Iterable[str], diff_ids: Iterable[str]) -> list[str]:
        """Delete everything but these blobs and layers; return the names of what went.

        Only while no image is on its way here: partial downloads go too.
        """
        keep = {hex_of(digest) for digest in (*blobs, *diff_ids)}
        gone = []
        for folder in (self._blobs, self._partial, self._layers, self._recipes):
            for path in folder.iterdir():
                if path.name not in keep and not path.name.startswith("."):
                    gone.append(path.name)
                    _delete(path)
        return gone

    def make_room(self, digests: Iterable[str]) -> list[str]:
        """Delete layers and partial downloads but these and claimed ones; return the names of what went.

        Unlike `sweep`, while images are on their way here.
        """
        with self._claims_lock:
            keep = {*self._claims, *(hex_of(digest) for digest in digests)}
            gone = [
                path
                for folder in (self._partial, self._layers)
                for path in folder.iterdir()
                if path.name not in keep and not path.name.startswith(".")
            ]
            hidden = [_hide(path) for path in gone]
            for path in gone:
                (self._recipes / path.name).unlink(missing_ok=True)
        for path in hidden:
            shutil.rmtree(path, ignore_errors=True)
        return [path.name for path in gone]


def _hide(path: Path) -> Path:
    """Take a folder out of sight, or delete a file: a crash must not leave half a layer under its name."""
    hidden = path.with_name(f"{UNPACKING}{path.name}")
    if path.is_dir():
        path.rename(hidden)
    else:
        path.unlink(missing_ok=True)
    return hidden


def _clear(folder: Path) -> None:
    """Delete what an agent that was killed left; its child, killed with it, may take a moment to end."""
    for _ in range(CLEAR_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(CLEAR_WAIT_S)


def _delete(path: Path) -> None:
    shutil.rmtree(_hide(path), ignore_errors=True)


def _sync_file_system(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", str(folder))
    finally:
        os.close(descriptor)
