"""HTTP: upload bytes by digest."""

from fastapi import Request

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer
from cloud_hub.blobs.service import uploads_of
from contract.digests import check_digest

router = guarded_router(f"{WORKSPACE}/blobs", "blobs")


class BlobAnswer(Answer):
    """An uploaded blob."""

    digest: str
    size_bytes: int


@router.put("/{digest}", status_code=201)
async def upload(digest: str, request: Request, hub: Hub, who: Who) -> BlobAnswer:
    """Take the body in; it must have the digest that the path says."""
    check_digest(digest, where="digest in the path")
    size = await hub.blobs.upload(
        uploads_of(who.workspace), digest, request.stream(), hub.settings.max_model_bytes
    )
    return BlobAnswer(digest=digest, size_bytes=size)
