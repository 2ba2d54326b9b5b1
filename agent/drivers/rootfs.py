"""Layers merged into one folder by hard links, once for each list of layers.

The merged folders share their bytes with the layers: who writes into a file of one changes both.
Whiteouts (`agent.layers`) take effect here.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.layers import OPAQUE, WHITEOUT

NEW = ".new-"


class MergedLayers:
    """The merged folders below ``folder``, named by a hash of the layers' paths.

    `locked` is held over `merge`, over `prune`, and over what makes a merged folder count as used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads and processes out; left-overs of killed ones are deleted first."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for stale in self._folder.glob(f"{NEW}*"):
                shutil.rmtree(stale)
            yield
        finally:
            os.close(descriptor)

    def merge(self, layers: tuple[Path, ...]) -> Path:
        """Return the folder that shows ``layers`` (lowest first) as one; make it if it is not there."""
        names = b"\0".join(os.fsencode(layer.absolute()) for layer in layers)
        merged = self._folder / hashlib.sha256(names).hexdigest()
        if not merged.is_dir():
            new = self._folder / f"{NEW}{secrets.token_hex(8)}"
            new.mkdir(mode=0o755)
            lay_over(layers, new)
            new.rename(merged)
        return merged

    def prune(self, used: Iterable[Path]) -> None:
        """Delete the merged folders that are not in ``used``."""
        names = {path.name for path in used}
        for entry in self._folder.iterdir():
            if entry.is_dir() and entry.name not in names:
                gone = self._folder / f"{NEW}{secrets.token_hex(8)}"
                entry.rename(gone)
                shutil.rmtree(gone)


def lay_over(layers: Iterable[Path], into: Path) -> None:
    """Lay ``layers`` (lowest first) into the folder ``into`` by hard links, without what is whited out."""
    for layer in layers:
        _add(layer, into)


def _add(layer: Path, into: Path) -> None:
    """Lay ``layer`` over ``into``. No symbolic link is followed: a lower one gives way to a folder."""
    with os.scandir(layer) as found:
        entries = list(found)
    for entry in entries:  # first of all: a whiteout is about lower layers, never about its own
        if entry.name.startswith(WHITEOUT):
            _white_out(entry.name, into)
    for entry in entries:
        target = into / entry.name
        if entry.name.startswith(WHITEOUT):
            continue
        if entry.is_dir(follow_symlinks=False):
            if target.is_symlink() or not target.is_dir():
                target.unlink(missing_ok=True)
                target.mkdir()
            shutil.copystat(entry.path, target)
            _add(Path(entry.path), target)
            continue
        _delete(target)
        _link_or_copy(entry, target)


def _white_out(name: str, folder: Path) -> None:
    if name == OPAQUE:
        for lower in folder.iterdir():
            _delete(lower)
        return
    _delete(folder / name.removeprefix(WHITEOUT))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _link_or_copy(entry: os.DirEntry[str], target: Path) -> None:
    try:
        os.link(entry.path, target, follow_symlinks=False)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(entry.path, target, follow_symlinks=False)
