"""HTTP: the OCI Distribution API 1.1, pull side (end-1 to end-3), for devices and people.

Pushing, tags and referrers come with the image registry's own issue; a path that is not here
answers 404 in the specification's error form.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.registry.names import repository_of
from cloud_hub.services import Services

router = guarded_router("/v2", "registry")

RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


@router.get("/")
def supported() -> dict[str, str]:
    """Say that this is a registry (end-1)."""
    return {}


@router.api_route("/{workspace}/{image}/manifests/{reference}", methods=["GET", "HEAD"])
def manifest(workspace: str, image: str, reference: str, request: Request, hub: Hub, who: Who) -> Response:
    """Return a manifest or index by digest or tag (end-3)."""
    repository = repository_of(workspace, image)
    link = hub.registry.manifest(repository, reference)
    body = hub.registry.blobs.read_small(link.digest)
    headers = {"Docker-Content-Digest": link.digest, "Content-Length": str(link.size_bytes)}
    if request.method == "HEAD":
        return Response(headers=headers, media_type=link.media_type)
    if who.device is not None:
        hub.registry.count_pull(who.device.id, repository, link.digest, len(body))
    return Response(body, headers=headers, media_type=link.media_type)


@router.api_route("/{workspace}/{image}/blobs/{digest}", methods=["GET", "HEAD"])
def blob(workspace: str, image: str, digest: str, request: Request, hub: Hub, who: Who) -> Response:
    """Return a blob (end-2), or the part of it that a ``Range`` names (RFC 9110, section 14)."""
    repository = repository_of(workspace, image)
    size = hub.registry.blob(repository, digest).size_bytes
    first, last, status = 0, size - 1, HTTPStatus.OK
    asked = RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is not None:
        first = int(asked[1])
        last = min(int(asked[2] or last), last)
        if first > last:
            return Response(
                status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                headers={"Content-Range": f"bytes */{size}"},
            )
        status = HTTPStatus.PARTIAL_CONTENT
    headers = {
        "Docker-Content-Digest": digest,
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
    }
    if status is HTTPStatus.PARTIAL_CONTENT:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    if request.method == "HEAD":
        return Response(headers=headers, status_code=status, media_type="application/octet-stream")
    chunks = hub.registry.blobs.read(digest, first, last - first + 1)
    if who.device is not None:
        chunks = _counted(chunks, hub, who.device.id, repository, digest)
    return StreamingResponse(chunks, status, headers, "application/octet-stream")


def _counted(
    chunks: Iterator[bytes], hub: Services, device: str, repository: str, digest: str
) -> Iterator[bytes]:
    """Pass chunks on; remember how many bytes were taken, also where the device went away."""
    sent_bytes = 0
    try:
        for chunk in chunks:
            yield chunk
            sent_bytes += len(chunk)
    finally:
        hub.registry.count_pull(device, repository, digest, sent_bytes)
