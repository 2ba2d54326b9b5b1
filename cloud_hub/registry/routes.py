"""HTTP: the OCI Distribution API 1.1, pull side (end-1 to end-3), for devices and people.

Pushing, tags and referrers come with the image registry's own issue; a path that is not here
answers 404 in the specification's error form.
"""

from collections.abc import Iterator

from fastapi import Request, Response

from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.ranges import bytes_response
from cloud_hub.registry.names import repository_of
from cloud_hub.services import Services

router = guarded_router("/v2", "registry")


@router.get("/")
def supported() -> dict[str, str]:
    """Say that this is a registry (end-1)."""
    return {}


@router.head("/{workspace}/{image}/manifests/{reference}", include_in_schema=False)
@router.get("/{workspace}/{image}/manifests/{reference}")
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


@router.head("/{workspace}/{image}/blobs/{digest}", include_in_schema=False)
@router.get("/{workspace}/{image}/blobs/{digest}")
def blob(workspace: str, image: str, digest: str, request: Request, hub: Hub, who: Who) -> Response:
    """Return a blob (end-2), or the part of it that a ``Range`` names (RFC 9110, section 14)."""
    repository = repository_of(workspace, image)
    size = hub.registry.blob(repository, digest).size_bytes

    def read(offset: int, length: int) -> Iterator[bytes]:
        chunks = hub.registry.blobs.read(digest, offset, length, owner=repository)
        return _counted(chunks, hub, who.device.id, repository, digest) if who.device is not None else chunks

    return bytes_response(request, read, digest=digest, size_bytes=size)


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
