"""What a base from elsewhere gives to a build.

A build puts these layers first, as they are, and its own on top: dependencies, scoring server, model, script.
It starts ``python.path`` with the base's environment (``config.Env``) below its own, and takes wheels for
``python.version`` and ``python.libc``; bytecode is made only where ``python.cache_tag`` is that of the
compiling Python. The base's own user, entry point and command do not count.
"""

from dataclasses import dataclass
from typing import Literal

from contract import oci


@dataclass(frozen=True)
class BaseLayer:
    """A layer of a base whose bytes are in the hub's blobs; ``media_type`` is OCI's, in every compression."""

    digest: str
    diff_id: str
    size_bytes: int
    media_type: str
    title: str


@dataclass(frozen=True)
class BasePython:
    """The Python that a base holds, as its files say.

    ``path`` is absolute and no link; ``version`` is such as ``3.12``, ``cache_tag`` such as ``cpython-312``;
    ``full_version`` such as ``3.12.7``, its last part 0 where the files do not say it. ``libc_version`` is
    such as ``2.36`` (the newest ``manylinux_2_X`` that fits).
    """

    path: str
    version: str
    full_version: str
    cache_tag: str
    libc: Literal["glibc", "musl"]
    libc_version: str


@dataclass(frozen=True)
class ForeignBase:
    """A base for one platform (``linux/amd64``).

    ``source`` is what was asked for without tag (``oci:debian`` becomes
    ``docker.io/library/debian@sha256:...``; a file becomes ``blob:sha256:...``), ``digest`` is that of the
    platform's manifest (for a docker-archive: of its configuration), ``config_digest`` that of its
    configuration. ``config`` is the base's whole configuration with ``rootfs.diff_ids`` as in ``layers``.
    """

    source: str
    platform: str
    digest: str
    config_digest: str
    config: oci.ImageConfig
    layers: tuple[BaseLayer, ...]
    python: BasePython
