"""What a manifest or index says: its type, what it names, and what it refers to. Pure.

OCI image specification 1.1 (image manifest and index), and Docker's image manifest version 2,
schema 2, and manifest list, which have the same shape.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from cloud_hub.registry.errors import ManifestInvalidError
from contract import oci
from contract.ids import DIGEST

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES: Final = frozenset({oci.INDEX, DOCKER_LIST})
MEDIA_TYPES: Final = INDEXES | {oci.MANIFEST, DOCKER_MANIFEST}
FOREIGN: Final = ("nondistributable", ".foreign.")
"""What stands in the media type of a layer that no registry may hand out, so it need not be there."""
MOST_TARGETS: Final = 10_000


class _Descriptor(msgspec.Struct, frozen=True):
    digest: str
    size: int
    mediaType: str = ""


class _Body(msgspec.Struct, frozen=True):
    schemaVersion: int
    mediaType: str = ""
    artifactType: str | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None
    subject: _Descriptor | None = None
    annotations: dict[str, str] | None = None


@dataclass(frozen=True)
class Parsed:
    """A manifest's outside: ``targets`` are the digests that must be there for it, in its order."""

    media_type: str
    artifact_type: str | None
    subject: str | None
    targets: tuple[str, ...]
    annotations: dict[str, str]


def parse(data: bytes, media_type: str) -> Parsed:
    """Read a manifest that is said to be of ``media_type`` ("": as it says itself).

    Raises `ManifestInvalidError`.
    """
    try:
        body = msgspec.json.decode(data, type=_Body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestInvalidError(f"the manifest cannot be read: {error}") from error
    kind = media_type or body.mediaType
    if kind not in MEDIA_TYPES:
        raise ManifestInvalidError(
            "the media type is none of a manifest",
            where="Content-Type",
            fix=f"Send one of {', '.join(sorted(MEDIA_TYPES))}.",
        )
    if body.mediaType not in {"", kind} or body.schemaVersion != 2:
        raise ManifestInvalidError(
            "mediaType or schemaVersion is not what the manifest is sent as", where=kind
        )
    artifact = body.artifactType or None
    if kind in INDEXES:
        named = body.manifests
        if named is None:
            raise ManifestInvalidError("an index has manifests", where="manifests")
    else:
        if body.config is None:
            raise ManifestInvalidError("an image manifest has a config", where="config")
        named = [body.config, *(body.layers or ())]
        # Specification of the referrers' list: "MUST be set to the config descriptor's mediaType".
        artifact = artifact or body.config.mediaType or None
    subject = body.subject
    _check([*named, *([subject] if subject is not None else [])])
    return Parsed(
        media_type=kind,
        artifact_type=artifact,
        subject=subject.digest if subject is not None else None,
        targets=tuple(
            dict.fromkeys(
                each.digest for each in named if not any(word in each.mediaType for word in FOREIGN)
            )
        ),
        annotations=body.annotations or {},
    )


def _check(named: list[_Descriptor]) -> None:
    if len(named) > MOST_TARGETS:
        raise ManifestInvalidError(f"a manifest may name {MOST_TARGETS} blobs")
    for each in named:
        if not DIGEST.fullmatch(each.digest) or each.size < 0:
            raise ManifestInvalidError("a descriptor has no sha256 digest, or no size", where="digest, size")
