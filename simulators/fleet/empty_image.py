"""An image with nothing in it, pushed to the hub's registry: simulated devices pull and run nothing."""

import gzip
import io
import json
import tarfile
from typing import Any, Final

from cloud_hub.sdk import HubRefusedError, Workspace
from contract import oci
from contract.digests import sha256

NAME: Final = "simulated"


def ensure_empty_image(workspace: Workspace, name: str = NAME) -> str:
    """Return ``name:version`` of the image, pushed and registered where it is not there yet.

    Images of different names have different digests.
    """
    try:
        found = workspace.image(name)
    except HubRefusedError:
        layer, config, manifest = _image(name)
        digest = workspace.push_manifest(name, manifest, {sha256(blob): blob for blob in (layer, config)})
        found = workspace.register_image(name, digest, description="of simulated devices")
    return f"{found.name}:{found.version}"


def _image(name: str) -> tuple[bytes, bytes, bytes]:
    """Return layer, configuration and manifest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w"):
        pass
    layer = gzip.compress(packed.getvalue(), mtime=0)
    document: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": [f"/{name}"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(packed.getvalue())]},
    }
    config = json.dumps(document).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": _described(config, oci.CONFIG),
        "layers": [_described(layer, oci.LAYER_GZIP)],
    }
    return layer, config, json.dumps(manifest).encode()


def _described(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}
