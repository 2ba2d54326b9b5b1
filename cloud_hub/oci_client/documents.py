"""Manifests, indexes and configurations of other people, OCI's and Docker's (image manifest v2, schema 2).

Both say the same in other words: `in_oci_words` maps Docker's media types. What says two things at once
(a manifest that is an index too, CVE-2021-41190) is refused.
"""

from typing import Final

import msgspec

from cloud_hub.oci_client.errors import RegistryContentError
from contract import oci
from contract.ids import DIGEST

MAX_MANIFEST_BYTES: Final = 4 * 1024**2
MAX_MANIFESTS: Final = 1000
MAX_LAYERS: Final = 127
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
_DOCKER: Final = {
    DOCKER_INDEX: oci.INDEX,
    DOCKER_MANIFEST: oci.MANIFEST,
    "application/vnd.docker.container.image.v1+json": oci.CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": oci.LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": oci.LAYER_TAR,
}
LAYERS: Final = frozenset({oci.LAYER_GZIP, oci.LAYER_TAR, LAYER_ZSTD})
ACCEPT: Final = ", ".join((oci.INDEX, oci.MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """A platform in an index."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """A blob by type (OCI's words), digest and size in bytes."""

    mediaType: str
    digest: str
    size: int
    platform: Platform | None = None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest (``config``, ``layers``) or an index (``manifests``), its type in OCI's words."""

    mediaType: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    manifests: tuple[Descriptor, ...] | None = None

    @property
    def is_index(self) -> bool:
        """Does it list manifests?"""
        return self.manifests is not None


def in_oci_words(media_type: str) -> str:
    """Return OCI's name of one of Docker's media types; any other as it is, without parameters."""
    plain = media_type.partition(";")[0].strip().lower()
    return _DOCKER.get(plain, plain)


def read_document(data: bytes, media_type: str = "", *, where: str) -> Document:
    """Return a manifest or index, announced as ``media_type``; raises `RegistryContentError`."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise _wrong(f"its manifest has more than {MAX_MANIFEST_BYTES} bytes", where)
    try:
        raw = msgspec.json.decode(data, type=Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong("its manifest is no manifest of OCI or of Docker's schema 2", where) from error
    told = {in_oci_words(name) for name in (raw.mediaType, media_type) if name}
    kind = oci.INDEX if raw.manifests is not None else oci.MANIFEST
    if told - {kind, "application/json", "application/octet-stream"}:
        raise _wrong("its manifest has a type that is not known, or two of them", where)
    if raw.is_index == (raw.layers is not None or raw.config is not None):
        raise _wrong("its manifest is neither an image nor a list, or both", where)
    if not raw.is_index and (raw.layers is None or raw.config is None):
        raise _wrong("its manifest has no configuration or no layers", where)
    if len(raw.layers or ()) > MAX_LAYERS or len(raw.manifests or ()) > MAX_MANIFESTS:
        raise _wrong(f"it has more than {MAX_LAYERS} layers or {MAX_MANIFESTS} manifests", where)
    return Document(
        mediaType=kind,
        config=_checked(raw.config, where) if raw.config is not None else None,
        layers=tuple(_checked(one, where) for one in raw.layers) if raw.layers is not None else None,
        manifests=tuple(_checked(one, where) for one in raw.manifests) if raw.manifests is not None else None,
    )


def for_platform(index: Document, platform: str) -> Descriptor | None:
    """Return the manifest for ``os/architecture``; the plainest variant where there are several."""
    system, _, architecture = platform.partition("/")
    found = [
        one
        for one in index.manifests or ()
        if one.platform is not None and (one.platform.os, one.platform.architecture) == (system, architecture)
    ]
    return min(found, key=lambda one: one.platform.variant if one.platform else "", default=None)


def _checked(one: Descriptor, where: str) -> Descriptor:
    if not DIGEST.fullmatch(one.digest) or one.size < 0:
        raise _wrong("its manifest names a blob without a sha256 digest or size", where)
    return msgspec.structs.replace(one, mediaType=in_oci_words(one.mediaType))


def _wrong(what: str, where: str) -> RegistryContentError:
    return RegistryContentError(what, where=where, fix="Check the reference, or ask who runs the registry.")
