"""From an image's digest in the signed document to layers on disk.

Everything is proved by digest: index, manifest, configuration, each layer as it came, and each
layer unpacked. What is here already is not pulled again.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.artifacts.delta import Offer, Savings, offers_for, pull_layer
from agent.artifacts.errors import DigestMismatchError, ImageInvalidError
from agent.artifacts.fetch import Registry
from agent.artifacts.room import UNPACKED_RATIO, Missing, bytes_needed
from agent.artifacts.store import ContentStore
from contract import oci
from contract.desired import ImageRef
from contract.digests import sha256
from contract.encoding import decode
from contract.errors import HeadlandError
from contract.image_config import read_image_config

MAX_CONFIG_BYTES = 4 * 1024 * 1024


class _Typed(msgspec.Struct, frozen=True):
    mediaType: str


@dataclass(frozen=True)
class StagedImage:
    """An image that is whole on disk: how it runs, and its layers' folders, lowest first."""

    config: oci.ImageConfig
    layers: tuple[Path, ...]
    blobs: frozenset[str]


def pull_image(
    ref: ImageRef,
    registry: Registry,
    store: ContentStore,
    savings: Savings | None = None,
    make_room: Callable[[], None] = lambda: None,
) -> StagedImage:
    """Bring an image to this device; raises `ArtifactError`, retriable or not. ``savings`` is told of it.

    ``make_room`` is called, at most once, where the disk has too little room for the layers to come.
    """
    counted = savings if savings is not None else Savings()
    index_or_manifest = _document(ref, ref.digest, registry, store)
    digest = _manifest_digest(index_or_manifest)
    manifest_bytes = index_or_manifest if digest is None else _document(ref, digest, registry, store)
    manifest = decode(manifest_bytes, oci.Manifest, what="image manifest")
    config = _config(ref, manifest.config, registry, store)
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise ImageInvalidError("the configuration has another number of layers", where=ref.name)
    layers = list(zip(manifest.layers, config.rootfs.diff_ids, strict=True))
    offers: list[Offer] | None = None
    with store.claimed(digest for each, diff_id in layers for digest in (each.digest, diff_id)):
        needed = room_needed(layers, store)
        store.shelf.make_way(needed)
        store.room.ensure(needed, f"image {ref.name}", make_room)
        for number, (descriptor, diff_id) in enumerate(layers):
            with store.exclusive(descriptor.digest):
                if store.layer(diff_id) is None:
                    store.shelf.make_way(room_needed(layers[number:], store))
                    if offers is None:
                        offers = offers_for(ref.repository, digest or ref.digest, registry, store)
                    pull_layer(ref.repository, descriptor, diff_id, offers, registry, store, counted)
        staged = staged_image(ref, store)
    if staged is None:
        raise ImageInvalidError("the image is not whole after its pull", where=ref.name)
    return staged


def room_needed(layers: Sequence[tuple[oci.Descriptor, str]], store: ContentStore) -> int:
    """Return the bytes of disk that those of ``layers`` (by diff id) take that are not here."""
    missing = []
    for descriptor, diff_id in layers:
        if store.layer(diff_id) is None:
            partial = store.partial_file(descriptor.digest)
            have = min(partial.stat().st_size, descriptor.size) if partial.exists() else 0
            ratio = 1 if descriptor.mediaType == oci.LAYER_TAR else UNPACKED_RATIO
            missing.append(Missing(descriptor.size, have, ratio * descriptor.size))
    return bytes_needed(missing)


def staged_image(ref: ImageRef, store: ContentStore) -> StagedImage | None:
    """Return the image if all of it is on disk; no network is asked."""
    data = store.read_blob(ref.digest)
    if data is None:
        return None
    digest = _manifest_digest(data)
    if digest is not None:
        data = store.read_blob(digest)
    if data is None:
        return None
    manifest = decode(data, oci.Manifest, what="image manifest")
    config_data = store.read_blob(manifest.config.digest)
    if config_data is None:
        return None
    config = read_image_config(config_data)
    layers = [store.layer(diff_id) for diff_id in config.rootfs.diff_ids]
    found = tuple(layer for layer in layers if layer is not None)
    if len(found) != len(layers):
        return None
    blobs = {ref.digest, manifest.config.digest} | ({digest} if digest else set())
    return StagedImage(config, found, frozenset(blobs))


def digests_of(ref: ImageRef, store: ContentStore) -> set[str]:
    """Return the layers, and the blobs that they come in, of an image, as far as it is known here."""
    found: set[str] = set()
    try:
        data = store.read_blob(ref.digest)
        digest = _manifest_digest(data) if data is not None else None
        if digest is not None:
            data = store.read_blob(digest)
        if data is not None:
            manifest = decode(data, oci.Manifest, what="image manifest")
            found |= {manifest.config.digest, *(each.digest for each in manifest.layers)}
            config = store.read_blob(manifest.config.digest)
            if config is not None:
                found |= set(read_image_config(config).rootfs.diff_ids)
    except HeadlandError:
        return found  # an image that cannot be read cannot run: nothing more of it is needed
    return found


def sweep(images: list[ImageRef], store: ContentStore) -> list[str]:
    """Delete all that none of ``images`` needs; return the names of what went."""
    staged = [image for ref in images if (image := staged_image(ref, store)) is not None]
    return store.sweep(
        blobs={digest for image in staged for digest in image.blobs},
        diff_ids={diff_id for image in staged for diff_id in image.config.rootfs.diff_ids},
    )


def _document(ref: ImageRef, digest: str, registry: Registry, store: ContentStore) -> bytes:
    with store.exclusive(digest):
        data = store.read_blob(digest)
        if data is None:
            data = registry.manifest(ref.repository, digest)
            if sha256(data) != digest:
                raise DigestMismatchError("the registry sent another manifest", where=digest)
            store.save_blob(digest, data)
    return data


def _manifest_digest(data: bytes) -> str | None:
    """Return the manifest for this platform that an index leads to, or none where it is a manifest."""
    kind = decode(data, _Typed, what="image index or manifest")
    if kind.mediaType != oci.INDEX:
        return None
    index = decode(data, oci.Index, what="image index")
    mine = oci.Platform(architecture=oci.architecture_of(platform.machine()), os="linux")
    for descriptor in index.manifests:
        if descriptor.platform == mine:
            return descriptor.digest
    raise ImageInvalidError(f"the image is not for {mine.os}/{mine.architecture}")


def _config(
    ref: ImageRef, descriptor: oci.Descriptor, registry: Registry, store: ContentStore
) -> oci.ImageConfig:
    if descriptor.size > MAX_CONFIG_BYTES:
        raise ImageInvalidError("the configuration is too large", where=ref.name)
    with store.exclusive(descriptor.digest):
        data = store.read_blob(descriptor.digest)
        if data is None:
            partial = store.partial_file(descriptor.digest)
            if registry.blob_nearby(ref.repository, descriptor, partial) is None:
                registry.blob(ref.repository, descriptor, partial)
            data = partial.read_bytes()
            store.save_blob(descriptor.digest, data)
            partial.unlink()
    return read_image_config(data)
