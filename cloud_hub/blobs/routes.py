"""HTTP: upload bytes by digest; at once, or so that they can go on where they were cut.

The resource of an upload is ``/uploads/{digest}``, one for each person. Its methods and fields are those of
draft-ietf-httpbis-resumable-upload-10, sections 4 to 6; it is created by a digest and a size instead
of by a first part, so that a client finds it again without having kept anything.
"""

from http import HTTPStatus

from fastapi import Request, Response
from pydantic import Field

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.blobs.upload_rows import UploadKey, UploadState
from cloud_hub.errors import InvalidInputError
from contract.digests import check_digest

router = guarded_router(WORKSPACE, "blobs")

PARTIAL = "application/partial-upload"


class BlobAnswer(Answer):
    """An uploaded blob."""

    digest: str
    size_bytes: int


class UploadAsk(Ask):
    """An upload to begin, or to find again."""

    digest: str
    size_bytes: int = Field(ge=0, le=2**62)


class UploadAnswer(Answer):
    """How far an upload is; ``complete``: the workspace has the file, nothing needs to be sent."""

    digest: str
    offset_bytes: int
    size_bytes: int
    complete: bool


@router.put("/blobs/{digest}", status_code=201)
async def upload(digest: str, request: Request, hub: Hub, who: Who) -> BlobAnswer:
    """Take a file in at once; it must have the digest that the path says, and the request its length."""
    length = request.headers.get("Content-Length", "")
    if not length.isdigit() or len(length) > 18:
        raise InvalidInputError("the request does not say its length", where="Content-Length")
    state = await hub.uploads.put(_key(who, digest), int(length), request.stream())
    return BlobAnswer(digest=digest, size_bytes=state.size_bytes)


@router.head("/blobs/{digest}", status_code=204)
def have(digest: str, hub: Hub, who: Who) -> Response:
    """Say whether the workspace has these bytes; those that only others have are not there."""
    with hub.database.reading() as session:
        link = hub.blobs.find_in(session, who.workspace, check_digest(digest, where="digest in the path"))
    return Response(status_code=204, headers={"Upload-Length": str(link.size_bytes)})


@router.post("/uploads", status_code=201)
def begin(ask: UploadAsk, response: Response, request: Request, hub: Hub, who: Who) -> UploadAnswer:
    """Begin an upload, or find the same one again: it goes on at ``offset_bytes``."""
    state = hub.uploads.begin(_key(who, ask.digest), ask.size_bytes)
    response.headers["Location"] = f"{request.url.path}/{ask.digest}"
    response.headers["Upload-Limit"] = f"max-size={hub.settings.max_model_bytes}"
    return UploadAnswer.model_validate(state)


@router.head("/uploads/{digest}", status_code=204)
def where(digest: str, hub: Hub, who: Who) -> Response:
    """Say where an upload stands."""
    return _told(hub.uploads.state(_key(who, digest)))


@router.patch("/uploads/{digest}", status_code=204)
async def append(digest: str, request: Request, hub: Hub, who: Who) -> Response:
    """Add the body to an upload at ``Upload-Offset``; as much of it as arrives is kept."""
    offset = request.headers.get("Upload-Offset", "")
    if not offset.isascii() or not offset.isdigit() or len(offset) > 18:
        raise InvalidInputError("Upload-Offset is not a whole number", where="Upload-Offset")
    if request.headers.get("Content-Type") != PARTIAL:
        raise InvalidInputError(
            "the content type is another one", where="Content-Type", fix=f"Send {PARTIAL}."
        )
    return _told(await hub.uploads.append(_key(who, digest), int(offset), request.stream()))


@router.delete("/uploads/{digest}", status_code=204)
def cancel(digest: str, hub: Hub, who: Who) -> None:
    """Forget an upload that is not finished."""
    hub.uploads.cancel(_key(who, digest))


def _key(who: Who, digest: str) -> UploadKey:
    return UploadKey(who.workspace, who.caller.principal, check_digest(digest, where="digest"))


def _told(state: UploadState) -> Response:
    headers = {
        "Upload-Offset": str(state.offset_bytes),
        "Upload-Length": str(state.size_bytes),
        "Upload-Complete": "?1" if state.complete else "?0",
        "Cache-Control": "no-store",
    }
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
