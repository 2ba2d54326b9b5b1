"""An image with nothing in it, pushed to the hub's registry: simulated devices pull and run nothing.

OCI Distribution API 1.1, "Pushing manifests" and "Pushing a blob monolithically".
"""

import gzip
import io
import json
import ssl
import tarfile
from typing import Any, Final

import httpx

from cloud_hub.sdk import Hub, HubRefusedError, HubUnreachableError, Workspace
from contract import oci
from contract.digests import sha256

NAME: Final = "simulated"


def ensure_empty_image(hub: Hub, workspace: Workspace) -> str:
    """Return ``name:version`` of the image, pushed and registered where it is not there yet."""
    try:
        found = workspace.image(NAME)
    except HubRefusedError:
        found = workspace.register_image(
            NAME, _push(hub, f"{workspace.name}/{NAME}"), description="of simulated devices"
        )
    return f"{found.name}:{found.version}"


def _push(hub: Hub, repository: str) -> str:
    """Push it under a tag; return the tag."""
    layer, config, manifest = _image()
    context = hub.context
    tls = ssl.create_default_context(cadata=context.ca_pem)
    headers = {"Authorization": f"Bearer {context.token}"}
    try:
        with httpx.Client(base_url=f"{context.hub}/v2/{repository}", verify=tls, headers=headers) as registry:
            for blob in (layer, config):
                registry.post(
                    "/blobs/uploads/", params={"digest": sha256(blob)}, content=blob
                ).raise_for_status()
            registry.put(
                "/manifests/empty", content=manifest, headers={"Content-Type": oci.MANIFEST}
            ).raise_for_status()
    except httpx.HTTPError as error:
        raise HubUnreachableError(
            f"the empty image could not be pushed ({error})", where=context.hub, fix="Try it again."
        ) from error
    return "empty"


def _image() -> tuple[bytes, bytes, bytes]:
    """Return layer, configuration and manifest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w"):
        pass
    layer = gzip.compress(packed.getvalue(), mtime=0)
    document: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/nothing"]},
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
