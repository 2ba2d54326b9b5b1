"""`foreign_base`: a base from elsewhere becomes layers in the hub's blobs."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import msgspec

from cloud_hub.images.bases.configuration import read_config
from cloud_hub.images.bases.errors import BaseRefusedError
from cloud_hub.images.bases.inspection import look_through
from cloud_hub.images.bases.ports import BaseLayer, BasePython, ForeignBase
from cloud_hub.images.bases.sources import BaseSource, FoundImage
from cloud_hub.oci_client.documents import LAYERS, Descriptor
from contract import oci
from contract.digests import sha256
from contract.encoding import encode

MAX_BASE_BYTES: Final = 16 * 1024**3
CHUNK_BYTES: Final = 1 << 20
FORMAT: Final = 1
"""Part of what is remembered: raise it when the same base shall be looked through anew."""

Progress = Callable[[str], None]


class BaseBlobs(Protocol):
    """Where layers go; `Blobs` is one."""

    def exists(self, digest: str) -> bool:
        """Are the bytes here?"""
        ...

    def save_file(self, digest: str, path: Path) -> None:
        """Keep a file whose digest is known to be right."""
        ...


class Findings(Protocol):
    """The memory of what bases of one workspace were found to be."""

    def recall(self, key: str) -> bytes | None:
        """Return what was kept for ``key``."""
        ...

    def keep(self, key: str, found: bytes) -> None:
        """Keep it."""
        ...


class _Kept(msgspec.Struct, frozen=True):
    layers: tuple[BaseLayer, ...]
    python: BasePython


def foreign_base(
    source: BaseSource,
    platform: str,
    *,
    blobs: BaseBlobs,
    findings: Findings,
    work_dir: Path,
    cancelled: Callable[[], bool],
    progress: Progress = lambda _: None,
) -> ForeignBase:
    """Return a base for ``os/architecture``, its layers kept in ``blobs``; blocks, for as long as it takes.

    ``work_dir`` takes the layers on their way and is left as it was found. Raises `BaseRefusedError` and
    its subclasses, `RegistryError` and its subclasses, and what the blobs raise.
    """
    progress(f"Looking up the base for {platform}")
    found = source.find(platform)
    config = read_config(found.config, platform, layers=len(found.layers), where=found.source)
    _check_layers(found)
    key = sha256(f"{FORMAT} {platform} {found.digest} {sha256(found.config)}".encode())
    kept = _recall(findings, key, blobs)
    if kept is None:
        with TemporaryDirectory(dir=work_dir, prefix="base-") as folder:
            kept = _take_in(source, found, config, platform, Path(folder), blobs, cancelled, progress)
        findings.keep(key, encode(kept))
    return ForeignBase(
        source=found.source,
        platform=platform,
        digest=found.digest,
        config_digest=sha256(found.config),
        config=config,
        layers=kept.layers,
        python=kept.python,
    )


def _take_in(
    source: BaseSource,
    found: FoundImage,
    config: oci.ImageConfig,
    platform: str,
    folder: Path,
    blobs: BaseBlobs,
    cancelled: Callable[[], bool],
    progress: Progress,
) -> _Kept:
    """Fetch every layer, look through all of them, then keep them."""
    files = [folder / f"layer-{number}" for number in range(len(found.layers))]
    for number, (layer, file) in enumerate(zip(found.layers, files, strict=True)):
        if cancelled():
            raise BaseRefusedError("the build was cancelled", where=found.source, fix="Start it again.")
        progress(f"Fetching layer {number + 1} of {len(files)} of the base, {layer.size} bytes")
        source.fetch(layer, file)
    progress("Looking through the base")
    diff_ids, python = look_through(files, config.config.Env, platform, where=found.source)
    if tuple(diff_ids) != config.rootfs.diff_ids:
        raise BaseRefusedError(
            "its layers are not the ones that its configuration names",
            where=found.source,
            fix="Check where the base comes from.",
        )
    layers = []
    for number, (layer, diff_id, file) in enumerate(zip(found.layers, diff_ids, files, strict=True)):
        kept = _compressed(file) if found.compress else layer
        blobs.save_file(kept.digest, file)
        file.unlink(missing_ok=True)
        layers.append(BaseLayer(kept.digest, diff_id, kept.size, kept.mediaType, f"base {number + 1}"))
    return _Kept(tuple(layers), python)


def _check_layers(found: FoundImage) -> None:
    if any(layer.mediaType not in LAYERS for layer in found.layers):
        raise BaseRefusedError(
            "it has a layer of a kind that is not taken, such as one that lies elsewhere",
            where=found.source,
            fix="Use a base whose layers are tar, tar+gzip or tar+zstd.",
        )
    if sum(layer.size for layer in found.layers) > MAX_BASE_BYTES:
        raise BaseRefusedError(
            f"it has more than {MAX_BASE_BYTES} bytes", where=found.source, fix="Use a smaller base."
        )


def _recall(findings: Findings, key: str, blobs: BaseBlobs) -> _Kept | None:
    known = findings.recall(key)
    if known is None:
        return None
    kept = msgspec.json.decode(known, type=_Kept)
    return kept if all(blobs.exists(layer.digest) for layer in kept.layers) else None


def _compressed(file: Path) -> Descriptor:
    """Compress a file in place, the same way each time."""
    target = file.with_suffix(".gz")
    with (
        file.open("rb") as plain,
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
    ):
        while chunk := plain.read(CHUNK_BYTES):
            packed.write(chunk)
    with target.open("rb") as packed_file:
        digest = f"sha256:{hashlib.file_digest(packed_file, 'sha256').hexdigest()}"
    size_bytes = target.stat().st_size
    target.replace(file)
    return Descriptor(mediaType=oci.LAYER_GZIP, digest=digest, size=size_bytes)
