"""HTTP: the push side of the OCI Distribution API 1.1 (end-4 to end-11), and deletions."""

import asyncio
import re
from http import HTTPStatus
from typing import Final

from fastapi import Request, Response

from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.registry.errors import DigestInvalidError, NameInvalidError, RangeInvalidError
from cloud_hub.registry.names import REPOSITORY, repository_of
from cloud_hub.registry.push_rows import PushKey
from contract.ids import DIGEST, NAME

router = guarded_router("/v2/{workspace}/{image}", "registry")

CONTENT_RANGE: Final = re.compile(r"(?:bytes )?(\d{1,18})-(\d{1,18})(?:/(?:\d{1,18}|\*))?")


@router.post("/blobs/uploads/", status_code=202)
async def begin(workspace: str, image: str, request: Request, hub: Hub, who: Who) -> Response:
    """Begin an upload (end-4a), take a whole blob in at once (end-4b), or mount one (end-11)."""
    repository = _named(workspace, image)
    asked = request.query_params
    mounted = asked.get("mount", "")
    if mounted != "" and await asyncio.to_thread(
        _mount, repository, mounted, asked.get("from", ""), hub, who
    ):
        return _created(repository, "blobs", mounted)
    digest = _digest(asked["digest"]) if "digest" in asked else ""
    key = await asyncio.to_thread(hub.pushes.begin, repository, who.caller.principal)
    if digest:
        await hub.pushes.finish(key, digest, 0, request.stream())
        return _created(repository, "blobs", digest)
    return _stands(HTTPStatus.ACCEPTED, key, 0)


@router.get("/blobs/uploads/{upload}", status_code=204)
def state(workspace: str, image: str, upload: str, hub: Hub, who: Who) -> Response:
    """Say where an upload stands (end-13)."""
    key = _key(workspace, image, upload, who)
    return _stands(HTTPStatus.NO_CONTENT, key, hub.pushes.offset(key))


@router.patch("/blobs/uploads/{upload}", status_code=202)
async def append(workspace: str, image: str, upload: str, request: Request, hub: Hub, who: Who) -> Response:
    """Take a part of a blob (end-5); without ``Content-Range`` it begins where the upload stands."""
    key = _key(workspace, image, upload, who)
    offset = await hub.pushes.append(key, _start(request), request.stream())
    return _stands(HTTPStatus.ACCEPTED, key, offset)


@router.put("/blobs/uploads/{upload}", status_code=201)
async def finish(workspace: str, image: str, upload: str, request: Request, hub: Hub, who: Who) -> Response:
    """End an upload with its digest (end-6); the body is the last part, or the whole blob, or empty."""
    key = _key(workspace, image, upload, who)
    digest = _digest(request.query_params.get("digest", ""))
    await hub.pushes.finish(key, digest, _start(request), request.stream())
    return _created(key.repository, "blobs", digest)


@router.delete("/blobs/uploads/{upload}", status_code=204)
def cancel(workspace: str, image: str, upload: str, hub: Hub, who: Who) -> None:
    """Forget an upload (end-14)."""
    hub.pushes.cancel(_key(workspace, image, upload, who))


@router.put("/manifests/{reference}", status_code=201)
async def push(workspace: str, image: str, reference: str, request: Request, hub: Hub, who: Who) -> Response:
    """Keep a manifest under a tag or its digest (end-7)."""
    repository = _named(workspace, image)
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
    data = await request.body()
    row = await asyncio.to_thread(
        hub.registry_changes.push_manifest, repository, reference, data, media_type, who.by
    )
    answer = _created(repository, "manifests", row.digest)
    if row.subject is not None:
        answer.headers["OCI-Subject"] = row.subject
    return answer


@router.delete("/manifests/{reference}", status_code=202)
def delete(workspace: str, image: str, reference: str, hub: Hub, who: Who) -> Response:
    """Delete a tag, or a manifest by its digest with all its tags (end-9)."""
    hub.registry_changes.delete_reference(repository_of(workspace, image), reference, who.by)
    return Response(status_code=HTTPStatus.ACCEPTED)


@router.delete("/blobs/{digest}", status_code=202)
def delete_blob(workspace: str, image: str, digest: str, hub: Hub, who: Who) -> Response:
    """Delete a blob that no manifest names (end-10)."""
    hub.registry_changes.delete_blob(repository_of(workspace, image), digest, who.by)
    return Response(status_code=HTTPStatus.ACCEPTED)


def _mount(repository: str, digest: str, source: str, hub: Hub, who: Who) -> bool:
    """Mount a blob from a repository that the caller may read, with the token that they showed."""
    readable = REPOSITORY.fullmatch(source) is not None and who.may(source, "pull")
    return readable and DIGEST.fullmatch(digest) is not None and hub.pushes.mount(repository, digest, source)


def _named(workspace: str, image: str) -> str:
    if not NAME.fullmatch(image):
        raise NameInvalidError(
            "an image may not be called that",
            where=image,
            fix="Use 1 to 63 of a-z, 0-9 and '-', not starting or ending with '-'.",
        )
    return repository_of(workspace, image)


def _key(workspace: str, image: str, upload: str, who: Who) -> PushKey:
    return PushKey(repository_of(workspace, image), who.caller.principal, upload)


def _digest(text: str) -> str:
    if not DIGEST.fullmatch(text):
        raise DigestInvalidError("this is no sha256 digest", where="digest", fix="Write sha256:HEX.")
    return text


def _start(request: Request) -> int | None:
    """Return where a part begins; None where the request does not say. Raises `RangeInvalidError`."""
    text = request.headers.get("Content-Range")
    if text is None:
        return None
    found = CONTENT_RANGE.fullmatch(text)
    length = request.headers.get("Content-Length", "")
    if found is None or (length.isdigit() and int(found[2]) - int(found[1]) + 1 != int(length[:19])):
        raise RangeInvalidError(
            "Content-Range is not FIRST-LAST, or not as long as the body", where="Content-Range"
        )
    return int(found[1])


def _stands(status: HTTPStatus, key: PushKey, offset: int) -> Response:
    headers = {
        "Location": f"/v2/{key.repository}/blobs/uploads/{key.id}",
        "Range": f"0-{max(0, offset - 1)}",
        "Docker-Upload-UUID": key.id,
        "Cache-Control": "no-store",
    }
    return Response(status_code=status, headers=headers)


def _created(repository: str, kind: str, digest: str) -> Response:
    headers = {"Location": f"/v2/{repository}/{kind}/{digest}", "Docker-Content-Digest": digest}
    return Response(status_code=HTTPStatus.CREATED, headers=headers)
