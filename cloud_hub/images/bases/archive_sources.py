"""Bases in a folder that was unpacked from an archive: an OCI image layout or a docker-archive.

The folder is this program's own and holds plain files (`cloud_hub.archives`); what its documents name is
looked for in it by checked names only. Of a file that is both, as Docker since 25 saves, the layout counts.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Final

import msgspec

from cloud_hub.archives.errors import ArchiveRefusedError
from cloud_hub.archives.limits import ArchiveLimits
from cloud_hub.archives.names import parts_of
from cloud_hub.archives.unpack import unpack
from cloud_hub.images.bases.errors import BasePlatformError, BaseRefusedError
from cloud_hub.images.bases.sources import BaseSource, FoundImage, no_platform
from cloud_hub.oci_client.documents import (
    MAX_LAYERS,
    MAX_MANIFEST_BYTES,
    Descriptor,
    Document,
    for_platform,
    read_document,
)
from contract import oci
from contract.digests import hex_of, sha256

LIMITS: Final = ArchiveLimits(
    max_entries=5_000, max_file_bytes=8 * 1024**3, max_total_bytes=16 * 1024**3, leave_out_links=True
)
CHUNK_BYTES: Final = 1 << 20
MAX_NESTED: Final = 3


def open_archive(archive: Path, name: str, folder: Path) -> BaseSource:
    """Return the base in a tar, plain or gzip-compressed, unpacked into ``folder``, which must not exist.

    ``name`` stands for it in errors and in what is kept (``blob:sha256:...``). Raises
    `ArchiveRefusedError`, `ArchiveStorageError`, `BaseRefusedError`.
    """
    unpack(archive, folder, where=name, limits=LIMITS)
    if (folder / "oci-layout").is_file() and (folder / "index.json").is_file():
        return LayoutBase(folder, name)
    if (folder / "manifest.json").is_file():
        return DockerArchiveBase(folder, name)
    raise BaseRefusedError(
        "it is neither an OCI layout nor a docker-archive",
        where=name,
        fix="Save the image with `skopeo copy ... oci-archive:FILE` or `docker save`.",
    )


class LayoutBase:
    """`BaseSource` in an OCI image layout 1.0."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    def find(self, platform: str) -> FoundImage:
        """See `BaseSource.find`; an image without a platform in the index counts by its configuration."""
        index = read_document(_small(self._folder / "index.json", self._name), oci.INDEX, where=self._name)
        document, digest = self._image(index, platform, MAX_NESTED)
        if document.config is None or document.layers is None:
            raise _refused("its manifest has no layers", self._name)
        return FoundImage(self._name, digest, self._read(document.config), document.layers)

    def fetch(self, layer: Descriptor, target: Path) -> None:
        """See `BaseSource.fetch`."""
        _copy(self._path(layer.digest), target, layer, self._name)

    def _image(self, index: Document, platform: str, depth: int) -> tuple[Document, str]:
        chosen = for_platform(index, platform)
        unsaid = [one for one in index.manifests or () if one.platform is None]
        for one in [chosen] if chosen is not None else unsaid:
            document = read_document(self._read(one), one.mediaType, where=self._name)
            if not document.is_index:
                if chosen is not None or self._fits(document, platform):
                    return document, one.digest
                continue
            if depth == 0:
                raise _refused("its lists lead to lists too often", self._name)
            try:
                return self._image(document, platform, depth - 1)
            except BasePlatformError:
                continue
        raise no_platform(platform, self._name)

    def _fits(self, document: Document, platform: str) -> bool:
        if document.config is None or document.config.mediaType != oci.CONFIG:
            return False
        return _platform_of(self._read(document.config), self._name) == platform

    def _read(self, one: Descriptor) -> bytes:
        data = _small(self._path(one.digest), self._name)
        if len(data) != one.size or sha256(data) != one.digest:
            raise _refused("a file of it does not have its digest and size", self._name)
        return data

    def _path(self, digest: str) -> Path:
        return self._folder / "blobs" / "sha256" / hex_of(digest)


class _Saved(msgspec.Struct, frozen=True):
    Config: str
    Layers: tuple[str, ...]


class DockerArchiveBase:
    """`BaseSource` in what `docker save` and skopeo's ``docker-archive:`` write."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._files: dict[str, Path] = {}

    def find(self, platform: str) -> FoundImage:
        """See `BaseSource.find`. Layers are known by their diff ids, so ``digest`` is the configuration's."""
        try:
            saved = msgspec.json.decode(
                _small(self._folder / "manifest.json", self._name), type=tuple[_Saved, ...]
            )
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _refused("its manifest.json cannot be read", self._name) from error
        configs = {one: _small(self._file(one.Config), self._name) for one in saved[:100]}
        found = [one for one, data in configs.items() if _platform_of(data, self._name) == platform]
        if not found:
            raise no_platform(platform, self._name)
        if len(found) > 1:
            raise _refused("it holds several images for one platform", self._name)
        config = configs[found[0]]
        layers = [self._layer(name) for name in found[0].Layers[: MAX_LAYERS + 1]]
        if len(layers) > MAX_LAYERS:
            raise _refused(f"it has more than {MAX_LAYERS} layers", self._name)
        return FoundImage(self._name, sha256(config), config, tuple(layers), compress=True)

    def fetch(self, layer: Descriptor, target: Path) -> None:
        """See `BaseSource.fetch`."""
        _copy(self._files[layer.digest], target, layer, self._name)

    def _layer(self, name: str) -> Descriptor:
        path = self._file(name)
        try:
            with path.open("rb") as file:
                digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        except OSError as error:
            raise _refused("a layer that it names is not in it, or is a link", self._name) from error
        self._files[digest] = path
        return Descriptor(mediaType=oci.LAYER_TAR, digest=digest, size=path.stat().st_size)

    def _file(self, name: str) -> Path:
        try:
            return self._folder.joinpath(*parts_of(name, LIMITS))
        except ArchiveRefusedError as error:
            raise _refused("it names a file that cannot be in it", self._name) from error


class _OnPlatform(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = ""


def _platform_of(config: bytes, where: str) -> str:
    try:
        found = msgspec.json.decode(config, type=_OnPlatform)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused("its configuration is none of an image", where) from error
    return f"{found.os}/{found.architecture}"


def _small(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise _refused("a file that it names is not in it", where) from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise _refused(f"a document of it has more than {MAX_MANIFEST_BYTES} bytes", where)
    return data


def _copy(path: Path, target: Path, layer: Descriptor, where: str) -> None:
    try:
        shutil.copyfile(path, target)
    except OSError as error:
        raise _refused("a layer that it names is not in it", where) from error
    with target.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if digest != layer.digest or target.stat().st_size != layer.size:
        raise _refused("a layer does not have its digest and size", where)


def _refused(what: str, where: str) -> BaseRefusedError:
    return BaseRefusedError(what, where=where, fix="Save the image anew, and check where it comes from.")
