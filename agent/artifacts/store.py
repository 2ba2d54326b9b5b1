"""The content store: blobs, unpacked layers, and downloads begun, all named by their digests.

::

    blobs/sha256/<hex>   manifests and configurations
    layers/<hex>/        unpacked layers, by diff id (the digest of the uncompressed tar)
    partial/<hex>        downloads, possibly incomplete and not checked
"""

import ctypes
import errno
import os
import secrets
import shutil
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from agent.durable import sync_folder, write_durably
from agent.errors import AgentError
from contract.digests import hex_of, sha256

LAYER_NEW = ".new-"
LAYER_OLD = ".old-"


class StoreError(AgentError):
    """The device's disk did not take or give something of the content store."""

    code = "artifact-store-failed"
    retriable = True


class ContentStore:
    """The store in ``folder``; one process uses it, from any of its threads.

    What a killed process left half-made is deleted at the start; downloads begun are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs/sha256"
        self._partial = folder / "partial"
        self._layers = folder / "layers"
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()
        with storing(str(folder)):
            for place in (self._blobs, self._partial, self._layers):
                place.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._delete_left_overs()

    @contextmanager
    def locked(self, digest: str) -> Iterator[None]:
        """Let one thread at a time fetch or unpack what ``digest`` names."""
        with self._locks_lock:
            lock = self._locks.setdefault(digest, threading.Lock())
        with lock:
            yield

    def read_blob(self, digest: str) -> bytes | None:
        """Return a blob that matches its digest; None where there is none (a damaged one is deleted)."""
        path = self._blobs / hex_of(digest)
        with storing(str(path)):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
            if sha256(data) == digest:
                return data
            path.unlink(missing_ok=True)
            return None

    def write_blob(self, digest: str, data: bytes) -> None:
        """Keep ``data``, which the caller has checked, under ``digest``."""
        path = self._blobs / hex_of(digest)
        with storing(str(path)):
            write_durably(path, data)

    def partial_path(self, digest: str) -> Path:
        """Return where the download of ``digest`` is, or will be."""
        return self._partial / hex_of(digest)

    def has_layer(self, diff_id: str) -> bool:
        """Return whether the layer is there, and so whole."""
        return self.layer_path(diff_id).is_dir()

    def layer_path(self, diff_id: str) -> Path:
        """Return the folder of a layer, which need not be there."""
        return self._layers / hex_of(diff_id)

    @contextmanager
    def new_layer(self) -> Iterator[Path]:
        """Give an empty folder to unpack into; it is deleted at the end unless it was committed."""
        new = self._layers / f"{LAYER_NEW}{secrets.token_hex(8)}"
        with storing(str(new)):
            new.mkdir()
            new.chmod(0o755)
        try:
            yield new
        finally:
            shutil.rmtree(new, ignore_errors=True)  # the next start of the agent deletes it otherwise

    def commit_layer(self, new: Path, diff_id: str) -> None:
        """Make ``new``, whose content the caller has checked, the layer ``diff_id``.

        Its files are on the disk before its name is: a power cut leaves it whole or absent.
        """
        final = self.layer_path(diff_id)
        with storing(str(final)):
            sync_filesystem(new)
            if not final.exists():
                new.rename(final)
            sync_folder(self._layers)

    def sweep(self, *, blobs: Set[str], layers: Set[str], partials: Set[str]) -> None:
        """Delete what is not named by a digest in these sets. Not while a pull is at work."""
        with storing(str(self._layers)):
            for place, keep in ((self._blobs, blobs), (self._partial, partials)):
                names = {hex_of(digest) for digest in keep}
                for path in place.iterdir():
                    if path.name not in names:
                        path.unlink()
            kept = {hex_of(diff_id) for diff_id in layers}
            for layer in self._layers.iterdir():
                if layer.name not in kept and not layer.name.startswith("."):
                    # Renamed first: a layer that is half deleted must not look whole.
                    old = self._layers / f"{LAYER_OLD}{secrets.token_hex(8)}"
                    layer.rename(old)
                    sync_folder(self._layers)
                    shutil.rmtree(old)

    def _delete_left_overs(self) -> None:
        for prefix in (LAYER_NEW, LAYER_OLD):
            for folder in self._layers.glob(f"{prefix}*"):
                shutil.rmtree(folder)
        for file in self._blobs.glob(".*"):
            file.unlink()


@contextmanager
def storing(where: str) -> Iterator[None]:
    """Turn what the disk refuses into `StoreError`."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        fix = "Free room on the device." if full else "Check the device's disk and the folder's owner."
        raise StoreError(error.strerror or type(error).__name__, where=where, fix=fix) from error


def sync_filesystem(folder: Path) -> None:
    """Write everything of the file system that holds ``folder`` to its disk: syncfs(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
