"""The manifest of a delta: a referrer of the new image's (OCI image specification 1.1, "artifacts"). Pure."""

from typing import Final

from contract import oci
from contract.delta import container
from contract.encoding import canonical

EMPTY_CONFIG: Final = b"{}"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"


def delta_manifest(
    subject: oci.Descriptor,
    blob: oci.Descriptor,
    config: oci.Descriptor,
    *,
    from_diff_id: str,
    to_diff_id: str,
    kind: str,
) -> bytes:
    """Return the manifest of the delta ``blob`` for the image ``subject``; its type is the blob's."""
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "artifactType": blob.mediaType,
            "config": config,
            "layers": [blob],
            "subject": subject,
            "annotations": {
                container.FROM: from_diff_id,
                container.TO: to_diff_id,
                container.KIND: kind,
                container.BYTES: str(blob.size),
            },
        }
    )
