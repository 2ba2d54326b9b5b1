"""HTTP: the OCI Distribution API 1.1, pull side (end-1 to end-3), for devices and people.

Pushing, tags and referrers come with the image registry's own issue; a path that is not here
answers 404 in the specification's error form.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from cloud_hub.api.auth import Hub, MaybeDevice, authenticate
from cloud_hub.errors import NotFoundError
from cloud_hub.registry.names import workspace_of
from cloud_hub.services import Services

router = APIRouter(prefix="/v2", tags=["registry"])

RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


@router.get("/")
def supported(request: Request, hub: Hub, device: MaybeDevice) -> dict[str, str]:
    """Say that this is a registry (end-1)."""
    if device is None:
        authenticate(request, hub)
    return {}


@router.head("/{workspace}/{image}/manifests/{reference}", include_in_schema=False)
@router.get("/{workspace}/{image}/manifests/{reference}")
def manifest(
    workspace: str, image: str, reference: str, request: Request, hub: Hub, device: MaybeDevice
) -> Response:
    """Return a manifest or index by digest or tag (end-3)."""
    repository = f"{workspace}/{image}"
    _check_access(request, hub, device, repository)
    link = hub.registry.manifest(repository, reference)
    body = hub.registry.blobs.read_small(link.digest)
    headers = {"Docker-Content-Digest": link.digest, "Content-Length": str(link.size_bytes)}
    if request.method == "HEAD":
        return Response(headers=headers, media_type=link.media_type)
    if device is not None:
        hub.registry.count_pull(device.id, repository, link.digest, len(body))
    return Response(body, headers=headers, media_type=link.media_type)


@router.head("/{workspace}/{image}/blobs/{digest}", include_in_schema=False)
@router.get("/{workspace}/{image}/blobs/{digest}")
def blob(
    workspace: str, image: str, digest: str, request: Request, hub: Hub, device: MaybeDevice
) -> Response:
    """Return a blob (end-2), or the part of it that a ``Range`` names (RFC 9110, section 14)."""
    repository = f"{workspace}/{image}"
    _check_access(request, hub, device, repository)
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
    if device is not None:
        chunks = _counted(chunks, hub, device.id, repository, digest)
    return StreamingResponse(chunks, status, headers, "application/octet-stream")


def _check_access(request: Request, hub: Services, device: MaybeDevice, repository: str) -> None:
    """A device may pull within its workspace, a person where they are a Reader; else it is not there."""
    workspace = workspace_of(repository)
    if device is not None:
        allowed = device.workspace == workspace
    else:
        allowed = authenticate(request, hub).sees(workspace)
    if not allowed:
        raise NotFoundError("no such repository", where=repository)


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
