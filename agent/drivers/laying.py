"""A container's root and mounts, laid ready for a runtime: with the device's own ids, or a range of them."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agent.drivers.bundle import ROOTFS, user_ids
from agent.drivers.id_ranges import IdRange
from agent.drivers.mapped_mounts import namespace_of
from agent.drivers.overlay import mount_layers
from agent.drivers.port import ContainerSpec
from agent.drivers.staging import staged, staged_layers


@dataclass(frozen=True)
class Laid:
    """What a runtime is to start: ``spec``, its mounts as bound for it, on ``root``, with ``ids``."""

    spec: ContainerSpec
    root: str
    ids: IdRange | None


@contextlib.contextmanager
def laid(bundle: Path, spec: ContainerSpec) -> Iterator[Laid]:
    """Lay ``spec`` ready in ``bundle`` with the device's own ids, for as long as a runtime starts it."""
    mount_layers(bundle, spec.layers)
    with staged(bundle, spec.mounts) as mounts:
        yield Laid(replace(spec, mounts=mounts), ROOTFS, None)


@contextlib.contextmanager
def laid_mapped(bundle: Path, spec: ContainerSpec, root: Path, ids: IdRange) -> Iterator[Laid]:
    """Lay ``spec`` ready with its root at ``root`` and all that it gets by the range ``ids``.

    Raises `UnmappableError` where the kernel cannot, and what `laid` raises.
    """
    with namespace_of(ids) as namespace:
        show = partial(staged_layers, bundle, namespace=namespace)
        mount_layers(bundle, spec.layers, root=root, show=show, owner=ids.first)
        with staged(bundle, spec.mounts, namespace) as mounts:
            _give_log(spec, ids)
            yield Laid(replace(spec, mounts=mounts), str(root), ids)


def _give_log(spec: ContainerSpec, ids: IdRange) -> None:
    """Let the container's user open by name (/dev/stderr) what it prints to; runc does so with no mapping."""
    descriptor = os.open(spec.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        os.fchown(descriptor, ids.first + user_ids(spec.user)[0], -1)
    finally:
        os.close(descriptor)
