"""Releases of the agent as files: an OCI image layout in one tar, the same bytes for the same tree."""

import gzip
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from cloud_hub.sdk.errors import SdkError
from cloud_hub.sdk.whole_file import whole_file
from contract import oci
from contract.agent_release import PYTHON_LABEL, STATE_LABEL, VERSION_LABEL
from contract.digests import hex_of, sha256
from contract.encoding import canonical
from contract.errors import HeadlandError
from contract.image_config import read_image_config

LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
TITLE: Final = "org.opencontainers.image.title"
PACK_AGAIN: Final = "Make it with `make release`."
OURS: Final = ("agent", "contract", "release.json")
BLOB_BYTES: Final = 1 << 30
"""A blob is read into memory where it is sent: a release's are a few MB."""


class _About(msgspec.Struct, frozen=True):
    """``release.json`` of a tree, as configs/deb/tree.sh writes it."""

    digest: str
    machine: str
    python: str
    state: int
    version: str


@dataclass(frozen=True)
class PackedRelease:
    """A release in a file: what it is, and its digest."""

    version: str
    python: str
    platform: str
    digest: str
    size_bytes: int


def pack_release(lib: Path, target: Path) -> PackedRelease:
    """Write the tree ``lib`` as a release to ``target``, which is there whole or not at all.

    Two layers, the libraries and what is ours: a new version moves the second alone. Raises `SdkError`.
    """
    about = _about(lib)
    ours = [path for path in lib.iterdir() if path.name in OURS or path.name.startswith("headland-")]
    libraries = [path for path in lib.iterdir() if path not in ours]
    blobs: dict[str, bytes] = {}
    layers, diff_ids = [], []
    for title, paths in (("libraries", libraries), ("agent", ours)):
        tar = _tar(lib, paths)
        data = gzip.compress(tar, compresslevel=6, mtime=0)
        diff_ids.append(sha256(tar))
        blobs[sha256(data)] = data
        layers.append(_descriptor(oci.LAYER_GZIP, data, annotations={TITLE: title}))
    architecture = oci.architecture_of(about.machine)
    labels = {VERSION_LABEL: about.version, PYTHON_LABEL: about.python, STATE_LABEL: str(about.state)}
    config = canonical(
        oci.ImageConfig(
            architecture=architecture,
            os="linux",
            config=oci.RunConfig(Labels=labels),
            rootfs=oci.RootFs(type="layers", diff_ids=tuple(diff_ids)),
        )
    )
    manifest = canonical(
        oci.Manifest(
            schemaVersion=2,
            mediaType=oci.MANIFEST,
            config=_descriptor(oci.CONFIG, config),
            layers=tuple(layers),
            annotations=labels,
        )
    )
    blobs |= {sha256(config): config, sha256(manifest): manifest}
    platform = oci.Platform(architecture=architecture)
    top = msgspec.structs.replace(_descriptor(oci.MANIFEST, manifest), platform=platform)
    index = canonical(oci.Index(schemaVersion=2, mediaType=oci.INDEX, manifests=(top,)))
    files = {f"blobs/sha256/{hex_of(digest)}": data for digest, data in blobs.items()}
    _write(target, {"oci-layout": LAYOUT, "index.json": index, **files})
    size_bytes = target.stat().st_size
    return PackedRelease(about.version, about.python, f"linux/{architecture}", top.digest, size_bytes)


@dataclass(frozen=True)
class ReadRelease:
    """A release as it is pushed: its manifest, and its blobs by digest, which were checked."""

    descriptor: oci.Descriptor
    manifest: bytes
    labels: dict[str, str]
    blobs: dict[str, bytes]


@contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, ValueError, tarfile.TarError, msgspec.DecodeError, HeadlandError) as error:
        if isinstance(error, SdkError):
            raise
        raise SdkError("it is no release of the agent", where=str(file), fix=PACK_AGAIN) from error


def read_release(file: Path) -> ReadRelease:
    """Read what `pack_release` wrote; raises `SdkError` for anything else."""
    with _named(file), tarfile.open(file, mode="r:") as tar:

        def blob(digest: str) -> bytes:
            data = _member(tar, f"blobs/sha256/{hex_of(digest)}")
            if sha256(data) != digest:
                raise SdkError("a part of the release is damaged", where=str(file), fix=PACK_AGAIN)
            return data

        (top,) = msgspec.json.decode(_member(tar, "index.json"), type=oci.Index).manifests
        data = blob(top.digest)
        manifest = msgspec.json.decode(data, type=oci.Manifest)
        parts = [manifest.config.digest, *(layer.digest for layer in manifest.layers)]
        config = read_image_config(blob(manifest.config.digest))
        if VERSION_LABEL not in config.config.Labels or manifest.annotations != config.config.Labels:
            raise SdkError("the image is no release of the agent", where=str(file), fix=PACK_AGAIN)
        platform = oci.Platform(architecture=config.architecture)
        descriptor = msgspec.structs.replace(_descriptor(oci.MANIFEST, data), platform=platform)
        return ReadRelease(descriptor, data, config.config.Labels, {one: blob(one) for one in parts})


def _about(lib: Path) -> _About:
    try:
        return msgspec.json.decode((lib / "release.json").read_bytes(), type=_About)
    except (OSError, msgspec.DecodeError) as error:
        raise SdkError(
            "the folder holds no tree of the agent", where=str(lib), fix="Make one with configs/deb/tree.sh."
        ) from error


def _descriptor(kind: str, data: bytes, annotations: dict[str, str] | None = None) -> oci.Descriptor:
    return oci.Descriptor(mediaType=kind, digest=sha256(data), size=len(data), annotations=annotations or {})


def _tar(lib: Path, tops: Iterable[Path]) -> bytes:
    """Return the files below ``tops`` as a tar under ``lib/``: sorted, without times and owners."""
    found: dict[str, Path] = {"lib": lib}
    for top in tops:
        for path in [top, *top.rglob("*")]:
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise SdkError("a tree holds plain files alone", where=str(path), fix="Make it anew.")
            if "__pycache__" not in path.parts:
                found[str(PurePosixPath("lib") / path.relative_to(lib))] = path
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, path in sorted(found.items()):
            header = tarfile.TarInfo(name)
            if path.is_dir():
                header.type, header.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(header)
            else:
                data = path.read_bytes()
                header.size, header.mode = len(data), 0o755 if os.access(path, os.X_OK) else 0o644
                tar.addfile(header, io.BytesIO(data))
    return written.getvalue()


def _write(target: Path, files: dict[str, bytes]) -> None:
    with whole_file(target) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(data), 0o644
            tar.addfile(header, io.BytesIO(data))


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.getmember(name)
    source = tar.extractfile(member) if member.size <= BLOB_BYTES else None
    if source is None:
        raise KeyError(name)
    return source.read()
