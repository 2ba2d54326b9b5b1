"""Documents that refer to an image (OCI image specification 1.1, artifacts with a subject)."""

from typing import Final

from cloud_hub.images.build.ports import Attached, LayerStore
from contract import oci
from contract.digests import sha256
from contract.encoding import canonical

LOCK: Final = "application/vnd.headland.lock.v1"
BUILD_LOG: Final = "application/vnd.headland.build-log.v1"
TITLE: Final = "org.opencontainers.image.title"


def attach(
    store: LayerStore,
    subject: oci.Descriptor,
    data: bytes,
    *,
    title: str,
    artifact_type: str,
    media_type: str = "",
) -> Attached:
    """Keep a document and the manifest that attaches it to ``subject``."""
    media_type, empty = media_type or artifact_type, oci.EMPTY_BYTES
    manifest = canonical(
        oci.Artifact(
            schemaVersion=2,
            mediaType=oci.MANIFEST,
            artifactType=artifact_type,
            config=oci.Descriptor(mediaType=oci.EMPTY, digest=store.save_blob(empty), size=len(empty)),
            layers=(
                oci.Descriptor(
                    mediaType=media_type, digest=sha256(data), size=len(data), annotations={TITLE: title}
                ),
            ),
            subject=subject,
        )
    )
    return Attached(
        title=title,
        artifact_type=artifact_type,
        subject=subject.digest,
        manifest_digest=store.save_blob(manifest),
        blob_digest=store.save_blob(data),
        size_bytes=len(data),
    )
