"""What is attached to an image: SBOM, provenance, lock, build log, as referrers of its documents."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import msgspec
from sqlalchemy.orm import Session

from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import OCTETS
from cloud_hub.db.engine import Database
from cloud_hub.errors import NotFoundError, TooLargeError
from cloud_hub.images.build import provenance
from cloud_hub.images.build.attaching import BUILD_LOG, LOCK
from cloud_hub.images.platforms import ImagePlatform, from_document
from cloud_hub.images.rows import ImageRow
from cloud_hub.images.sbom import SBOM_TYPES, packages_in
from cloud_hub.images.service import find_image
from cloud_hub.registry.names import repository_of
from cloud_hub.registry.service import Registry
from contract import oci

What = Literal["sbom", "provenance", "lock", "log"]
WHATS: tuple[str, ...] = get_args(What)
TYPES: dict[str, tuple[str, ...]] = {
    "sbom": SBOM_TYPES,
    "provenance": (provenance.MEDIA_TYPE,),
    "lock": (LOCK,),
    "log": (BUILD_LOG,),
}
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,126}/[a-z0-9][a-z0-9.+-]{0,126}")
MOST_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class AttachedView:
    """A document attached to an image.

    ``platform`` is empty where it is of the whole image; ``digest`` is the manifest's, ``blob`` the
    document's own. ``what`` is one of `WHATS`, or empty for what other tools attached.
    """

    what: str
    platform: str
    artifact_type: str
    digest: str
    blob: str
    media_type: str
    size_bytes: int
    created_at: datetime


class _Manifest(msgspec.Struct, frozen=True):
    layers: tuple[oci.Descriptor, ...] = ()


def attached_to(
    database: Database, registry: Registry, workspace: str, name: str, version: int | None
) -> list[AttachedView]:
    """Return what is attached to a version: of the whole image first, then by platform."""
    with database.reading() as session:
        row = find_image(session, workspace, name, version)
        return _of_row(session, registry, row)


def read_attached(
    database: Database,
    registry: Registry,
    workspace: str,
    name: str,
    version: int | None,
    what: What,
    platform: str | None,
) -> tuple[bytes, str]:
    """Return the newest document of a kind and its media type; raises `NotFoundError`.

    Without ``platform`` it is that of the whole image, or of the first platform that has one.
    """
    with database.reading() as session:
        row = find_image(session, workspace, name, version)
        found = [one for one in _of_row(session, registry, row) if one.what == what]
    if platform is not None:
        found = [one for one in found if one.platform in {platform, ""}]
    if not found:
        raise NotFoundError(
            f"the image has no {what}" + (f" for {platform}" if platform else ""),
            where=f"{name}:{row.version}",
            fix="`headland image show` lists what is attached to it.",
        )
    one = max(found, key=lambda each: (each.platform == found[0].platform, each.created_at))
    if one.size_bytes > MOST_BYTES:
        raise TooLargeError(
            "the document is too large to be read here", where=one.blob, fix="Pull it by /v2/."
        )
    return registry.blobs.read_small(one.blob), one.media_type


def attachments(
    session: Session, registry: Registry, repository: str, digest: str, platforms: Sequence[ImagePlatform]
) -> Iterator[AttachedView]:
    """Yield what refers to an image, to its index first; of what has one layer that is there."""
    subjects = [("", digest)]
    subjects += [(one.platform, one.digest) for one in platforms if one.digest not in {"", digest}]
    for platform, subject in subjects:
        for referrer in registry.referrers(session, repository, subject):
            layer = _document_of(registry.blobs.read_small(referrer.digest))
            # Whatever a manifest names: only what this repository has is read.
            link = session.get(BlobLinkRow, (repository, layer.digest)) if layer is not None else None
            if layer is None or link is None:
                continue
            yield AttachedView(
                what=_what(referrer.artifact_type or ""),
                platform=platform,
                artifact_type=referrer.artifact_type or "",
                digest=referrer.digest,
                blob=layer.digest,
                media_type=layer.mediaType if MEDIA_TYPE.fullmatch(layer.mediaType) else OCTETS,
                size_bytes=link.size_bytes,
                created_at=referrer.created_at,
            )


def packages_of(
    session: Session, registry: Registry, repository: str, digest: str, platforms: Sequence[ImagePlatform]
) -> list[str]:
    """Return the packages (``name==version``) that the SBOMs attached to an image list."""
    found: set[str] = set()
    for one in attachments(session, registry, repository, digest, platforms):
        if one.what == "sbom" and one.size_bytes <= MOST_BYTES:
            found.update(packages_in(registry.blobs.read_small(one.blob)))
    return sorted(found)


def _of_row(session: Session, registry: Registry, row: ImageRow) -> list[AttachedView]:
    repository = repository_of(row.workspace, row.name)
    return list(attachments(session, registry, repository, row.digest, from_document(row.platforms)))


def _document_of(manifest: bytes) -> oci.Descriptor | None:
    """Return the one blob of an attached document; None of what has another form, such as deltas."""
    try:
        layers = msgspec.json.decode(manifest, type=_Manifest).layers
    except msgspec.DecodeError:
        return None
    return layers[0] if len(layers) == 1 else None


def _what(artifact_type: str) -> str:
    return next((what for what, types in TYPES.items() if artifact_type in types), "")
