"""Small images, whole and right: bytes of manifests and indexes, and of what they name."""

import json
from dataclasses import dataclass, field
from typing import Any

from cloud_hub.blobs.service import Blobs
from cloud_hub.images.build.ports import BuiltImage, Layer, PlatformImage
from contract import oci
from contract.digests import sha256

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Content:
    """A manifest, and the blobs that it names."""

    data: bytes
    media_type: str
    blobs: dict[str, bytes] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Return the manifest's digest."""
        return sha256(self.data)

    @property
    def descriptor(self) -> dict[str, Any]:
        """Return a descriptor of the manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


def described(data: bytes, media_type: str) -> dict[str, Any]:
    """Return a descriptor of a blob."""
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def image(*layers: bytes, config: bytes = EMPTY, **more: Any) -> Content:
    """Return an image manifest over ``layers``; ``more`` are fields of it."""
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": described(config, oci.CONFIG),
        "layers": [described(layer, oci.LAYER_GZIP) for layer in layers],
    } | more
    blobs = {sha256(data): data for data in (config, *layers)}
    return Content(json.dumps(document).encode(), oci.MANIFEST, blobs)


def referrer(subject: Content, payload: bytes, artifact_type: str, **annotations: str) -> Content:
    """Return an artifact that refers to ``subject``."""
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "artifactType": artifact_type,
        "config": described(EMPTY, EMPTY_TYPE),
        "layers": [described(payload, "application/octet-stream")],
        "subject": subject.descriptor,
        "annotations": annotations,
    }
    blobs = {sha256(EMPTY): EMPTY, sha256(payload): payload}
    return Content(json.dumps(document).encode(), oci.MANIFEST, blobs)


def index(*manifests: Content, **more: Any) -> Content:
    """Return an index over manifests."""
    document = {
        "schemaVersion": 2,
        "mediaType": oci.INDEX,
        "manifests": [one.descriptor for one in manifests],
    } | more
    return Content(json.dumps(document).encode(), oci.INDEX)


def built(blobs: Blobs, *layers: bytes) -> BuiltImage:
    """Return what a build gives back, its bytes in the store."""
    manifest = image(*layers)
    whole = index(manifest)
    for data in (manifest.data, whole.data, *manifest.blobs.values()):
        blobs.save_bytes(data)
    found = tuple(Layer(sha256(layer), sha256(layer), len(layer), "model") for layer in layers)
    size_bytes = sum(map(len, layers))
    one = PlatformImage("linux/amd64", manifest.digest, sha256(EMPTY), found, size_bytes)
    return BuiltImage(whole.digest, (one,), size_bytes, len(layers))
