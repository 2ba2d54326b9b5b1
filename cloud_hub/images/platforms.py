"""What an image has for each of its platforms, as its row keeps it and as its documents say it. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from cloud_hub.errors import ImageRefusedError
from contract import oci
from contract.agent_release import VERSION_LABEL
from contract.errors import ContractError
from contract.ids import DIGEST
from contract.image_config import read_image_config

TITLE = "org.opencontainers.image.title"
BASE = "org.opencontainers.image.base.name"
LONGEST_BASE = 500
LAYER = "application/vnd.oci.image.layer."
AS_OCI = "Push it as an OCI image, such as with `skopeo copy --format oci`."
T = TypeVar("T")
Read = Callable[[str], bytes]
"""``read(digest)`` returns a manifest or configuration; raises where the repository has none."""


@dataclass(frozen=True)
class ImageLayer:
    """A layer: what it holds, its digest, the digest of its tar (``diff_id``), its compressed bytes."""

    title: str
    digest: str
    diff_id: str
    size_bytes: int


@dataclass(frozen=True)
class ImagePlatform:
    """The manifest of one platform (``linux/amd64``); ``size_bytes`` is what a bare device pulls.

    An empty ``platform``: an image of a release that did not keep it, not looked into yet.
    """

    platform: str
    digest: str
    config_digest: str
    size_bytes: int
    layers: tuple[ImageLayer, ...]


def as_document(platforms: Sequence[ImagePlatform]) -> list[Any]:
    """Return the platforms as a row keeps them: ``platform``, ``digest``, ``size_bytes``, ``layers``, ..."""
    found: list[Any] = msgspec.to_builtins(platforms)
    return found


def from_document(document: Sequence[Any]) -> tuple[ImagePlatform, ...]:
    """Return the platforms that a row keeps."""
    return msgspec.convert(document, tuple[ImagePlatform, ...])


def digests_in(index_digest: str, platforms: Iterable[ImagePlatform]) -> set[str]:
    """Return every digest that an image is found by."""
    found = {index_digest}
    for one in platforms:
        found |= {one.digest, one.config_digest}
        for layer in one.layers:
            found |= {layer.digest, layer.diff_id}
    return found - {""}


def read_platforms(digest: str, read: Read) -> tuple[ImagePlatform, ...]:
    """Return what an index, or a manifest alone, leads to; raises `ImageRefusedError` and what ``read`` does.

    What an index names without a platform, or for ``unknown/unknown``, is no image (tools put
    attestations there).
    """
    data = read(digest)
    if _media_type(data, digest) == oci.MANIFEST:
        return (_platform(data, digest, None, read),)
    index = _decode(data, oci.Index, digest)
    found = []
    for entry in index.manifests:
        _check_digest(entry.digest, digest)
        if entry.mediaType != oci.MANIFEST:
            raise ImageRefusedError("the index names what is no OCI manifest", where=entry.digest, fix=AS_OCI)
        if entry.platform is not None and entry.platform.os != "unknown":
            manifest = read(entry.digest)
            found.append(_platform(manifest, entry.digest, entry.platform, read))
    if not found:
        raise ImageRefusedError("the index names no image of any platform", where=digest)
    return tuple(found)


def size_of(index: bytes, platforms: Sequence[ImagePlatform], read: Read) -> int:
    """Return the bytes of all that a registry keeps for an image, each blob once."""
    sizes = {layer.digest: layer.size_bytes for one in platforms for layer in one.layers}
    for one in platforms:
        sizes[one.config_digest] = len(read(one.config_digest))
        sizes[one.digest] = len(read(one.digest))
    alone = len(platforms) == 1 and read(platforms[0].digest) == index
    return sum(sizes.values()) + (0 if alone else len(index))


def compressions_in(manifests: Iterable[bytes]) -> str:
    """Return how the layers are compressed: ``gzip``, ``zstd``, ``none`` or ``mixed``."""
    found = set()
    for data in manifests:
        for layer in msgspec.json.decode(data, type=oci.Manifest).layers:
            kind = layer.mediaType.partition("+")[2]
            found.add(kind or "none")
    return found.pop() if len(found) == 1 else ("mixed" if found else "none")


def base_in(manifests: Iterable[bytes]) -> str:
    """Return the base that the manifests are annotated with; an empty text for none, or several."""
    found = {msgspec.json.decode(data, type=oci.Manifest).annotations.get(BASE, "") for data in manifests}
    return found.pop()[:LONGEST_BASE] if len(found) == 1 else ""


def is_agent(manifest: bytes) -> bool:
    """Does the manifest say that it is of a release of the agent?"""
    return VERSION_LABEL in msgspec.json.decode(manifest, type=oci.Manifest).annotations


class _Typed(msgspec.Struct, frozen=True):
    mediaType: str = ""


def _media_type(data: bytes, digest: str) -> str:
    kind = _decode(data, _Typed, digest).mediaType  # devices go by it, so it must be there
    if kind not in {oci.INDEX, oci.MANIFEST}:
        raise ImageRefusedError("it is no OCI image manifest or index", where=digest, fix=AS_OCI)
    return kind


def _platform(data: bytes, digest: str, said: oci.Platform | None, read: Read) -> ImagePlatform:
    if _media_type(data, digest) != oci.MANIFEST:
        raise ImageRefusedError("an index within an index", where=digest, fix=AS_OCI)
    manifest = _decode(data, oci.Manifest, digest)
    _check_digest(manifest.config.digest, digest)
    if manifest.config.mediaType != oci.CONFIG:
        raise ImageRefusedError("it is an artifact, no image", where=digest)
    raw = read(manifest.config.digest)
    config = _config(raw, manifest.config.digest)
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise ImageRefusedError(
            "the configuration has another number of layers than the manifest", where=digest
        )
    here = oci.Platform(architecture=config.architecture, os=config.os)
    if said is not None and said != here:
        raise ImageRefusedError(
            f"the index says {_name(said)}, the configuration {_name(here)}", where=digest
        )
    layers = []
    for number, (layer, diff_id) in enumerate(
        zip(manifest.layers, config.rootfs.diff_ids, strict=True), start=1
    ):
        _check_digest(layer.digest, digest)
        _check_digest(diff_id, manifest.config.digest)
        if not layer.mediaType.startswith(LAYER) or layer.size < 0:
            raise ImageRefusedError("a layer is no OCI layer", where=layer.digest, fix=AS_OCI)
        title = layer.annotations.get(TITLE, f"layer {number}")[:200]
        layers.append(ImageLayer(title, layer.digest, diff_id, layer.size))
    distinct = {layer.digest: layer.size_bytes for layer in layers}
    size_bytes = len(data) + len(raw) + sum(distinct.values())
    return ImagePlatform(_name(here), digest, manifest.config.digest, size_bytes, tuple(layers))


def _name(platform: oci.Platform) -> str:
    return f"{platform.os}/{platform.architecture}"


def _check_digest(digest: str, where: str) -> None:
    if not DIGEST.fullmatch(digest):
        raise ImageRefusedError("it names a digest that is no SHA-256", where=where)


def _config(data: bytes, digest: str) -> oci.ImageConfig:
    try:
        return read_image_config(data)
    except ContractError as error:
        raise _no_document(digest) from error


def _decode(data: bytes, kind: type[T], digest: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise _no_document(digest) from error


def _no_document(digest: str) -> ImageRefusedError:
    return ImageRefusedError("the document is no OCI image's", where=digest, fix=AS_OCI)
