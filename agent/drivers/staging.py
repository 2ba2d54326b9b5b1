"""Paths of the machine that were judged before a container gets them: bound by descriptor, not by name.

A runtime mounts by name, and what a name leads to can be changed after it was judged. So the agent binds the
very file or folder below the bundle, for as long as the runtime needs to mount it into the container. What a
container with a user namespace gets is bound there too, by the container's own ids.
"""

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from agent.drivers.mapped_mounts import mount_mapped
from agent.drivers.mounted import detach_below
from agent.drivers.port import Mount

MS_BIND: Final = 4096
FOLDER: Final = "staged"

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def staged(
    bundle: Path, mounts: tuple[Mount, ...], namespace: int | None = None
) -> Iterator[tuple[Mount, ...]]:
    """Yield ``mounts`` with a source below ``bundle`` for each that has a descriptor.

    With a user ``namespace`` (a descriptor) all have one there that goes by its ids. Afterwards nothing is
    mounted there. Raises `OSError`, `UnmappableError`, and `DriverError` where a mount stays.
    """
    folder = bundle / FOLDER
    try:
        yield tuple(_staged(folder / str(number), mount, namespace) for number, mount in enumerate(mounts))
    finally:
        unmount_staged(bundle)


@contextlib.contextmanager
def staged_layers(bundle: Path, layers: Sequence[Path], namespace: int) -> Iterator[tuple[Path, ...]]:
    """Yield folders below ``bundle`` that show ``layers`` by the ids of ``namespace``; as `staged` else."""
    folder = bundle / FOLDER
    try:
        yield tuple(
            _mapped(folder / f"layer{number}", layer, namespace, read_only=True)
            for number, layer in enumerate(layers)
        )
    finally:
        unmount_staged(bundle)


def unmount_staged(bundle: Path) -> None:
    """Undo what `staged` left behind a kill; raises `DriverError` where a mount stays.

    Whoever deletes the bundle has to call this before: what is mounted there is the machine's.
    """
    detach_below(bundle / FOLDER, "what the container was given")


def _staged(place: Path, mount: Mount, namespace: int | None) -> Mount:
    if namespace is not None and mount.mapped:
        source = mount.source.absolute() if mount.descriptor is None else mount.descriptor
        mapped = _mapped(place, source, namespace, read_only=mount.read_only)
        return replace(mount, source=mapped)
    if mount.descriptor is not None:
        return replace(mount, source=_bound(place, mount.descriptor))
    return mount


def _mapped(place: Path, source: Path | int, namespace: int, *, read_only: bool) -> Path:
    _make_like(place, source)
    mount_mapped(source, place, namespace, read_only=read_only)
    return place


def _bound(place: Path, descriptor: int) -> Path:
    _make_like(place, descriptor)
    source = f"/proc/self/fd/{descriptor}".encode()
    if _libc.mount(source, os.fsencode(place), None, ctypes.c_ulong(MS_BIND), None) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return place


def _make_like(place: Path, source: Path | int) -> None:
    """Make the folder, or the empty file, at which ``source`` can be mounted."""
    place.parent.mkdir(exist_ok=True, mode=0o700)
    found = source.stat() if isinstance(source, Path) else os.fstat(source)
    if stat.S_ISDIR(found.st_mode):
        place.mkdir()
    else:
        place.touch()
