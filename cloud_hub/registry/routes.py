"""HTTP: the OCI Distribution API 1.1, what reads (end-1 to end-3, end-8, end-12), for devices and people."""

from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import Request, Response

from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.ranges import bytes_response
from cloud_hub.registry.errors import DigestInvalidError, ManifestUnknownError, OciInputError
from cloud_hub.registry.names import repository_of
from cloud_hub.registry.rows import ManifestRow
from cloud_hub.services import Services
from contract import oci
from contract.ids import DIGEST

router = guarded_router("/v2", "registry")


@router.get("/")
def supported(response: Response) -> dict[str, str]:
    """Say that this is a registry (end-1)."""
    response.headers["Docker-Distribution-API-Version"] = "registry/2.0"
    return {}


@router.head("/{workspace}/{image}/manifests/{reference}", include_in_schema=False)
@router.get("/{workspace}/{image}/manifests/{reference}")
def manifest(workspace: str, image: str, reference: str, request: Request, hub: Hub, who: Who) -> Response:
    """Return a manifest or index by digest or tag (end-3)."""
    repository = repository_of(workspace, image)
    row = hub.registry.manifest(repository, reference)
    if not accepts(request.headers.getlist("Accept"), row.media_type):
        raise ManifestUnknownError(
            f"the manifest is of the media type {row.media_type}",
            where=f"{repository}:{reference}",
            fix="Name that type in Accept.",
        )
    headers = {
        "Docker-Content-Digest": row.digest,
        "Content-Length": str(row.size_bytes),
        "ETag": f'"{row.digest}"',
    }
    if request.method == "HEAD":
        return Response(headers=headers, media_type=row.media_type)
    body = hub.registry.blobs.read_small(row.digest)
    if who.device is not None:
        hub.registry.count_pull(who.device.id, repository, row.digest, len(body))
    return Response(body, headers=headers, media_type=row.media_type)


def accepts(headers: list[str], media_type: str) -> bool:
    """Do ``Accept`` headers take a media type (RFC 9110, section 12.5.1; weights are passed over)?

    None at all takes every one, and so does ``application/json``, as old tools send it for all of them.
    """
    named = {part.partition(";")[0].strip().lower() for header in headers for part in header.split(",")}
    return not named - {""} or bool(named & {media_type, "*/*", "application/*", "application/json"})


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


@router.get("/{workspace}/{image}/tags/list")
def tags(workspace: str, image: str, request: Request, response: Response, hub: Hub) -> dict[str, Any]:
    """Return the tags in their order (end-8a), ``n`` of them behind ``last`` (end-8b)."""
    repository = repository_of(workspace, image)
    asked, last = request.query_params.get("n"), request.query_params.get("last", "")
    if asked is not None and not (asked.isascii() and asked.isdigit() and len(asked) <= 9):
        raise OciInputError("n is no whole number", where="n")
    most = int(asked) if asked is not None else None
    found = hub.registry.tags(repository, after=last, most=most + 1 if most is not None else None)
    page = found[:most]
    if page and len(found) > len(page):
        response.headers["Link"] = f'</v2/{repository}/tags/list?n={most}&last={page[-1]}>; rel="next"'
    return {"name": repository, "tags": page}


@router.get("/{workspace}/{image}/referrers/{digest}")
def referrers(workspace: str, image: str, digest: str, request: Request, hub: Hub) -> Response:
    """Return an index of what refers to a manifest (end-12), of one ``artifactType`` where that is asked."""
    if not DIGEST.fullmatch(digest):
        raise DigestInvalidError("this is no sha256 digest", where=digest)
    kind = request.query_params.get("artifactType") or None
    rows = hub.registry.referrers_in(repository_of(workspace, image), digest, kind)
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [_described(row) for row in rows]}
    headers = {"OCI-Filters-Applied": "artifactType"} if kind is not None else {}
    return Response(msgspec.json.encode(index), headers=headers, media_type=oci.INDEX)


def _described(row: ManifestRow) -> dict[str, Any]:
    found: dict[str, Any] = {"mediaType": row.media_type, "digest": row.digest, "size": row.size_bytes}
    if row.artifact_type:
        found["artifactType"] = row.artifact_type
    return found | ({"annotations": row.annotations} if row.annotations else {})


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
