"""HTTP: where a workspace's images are."""

from datetime import datetime

from pydantic import Field

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask

router = guarded_router(f"{WORKSPACE}/image-store", "images")


class ImageStoreAsk(Ask):
    """An external registry, and the name of a secret with ``user:password`` or a token; ``hub:`` for none."""

    url: str = Field(max_length=500)
    secret: str | None = None


class ImageStoreAnswer(Answer):
    """Where new images go (``hub:`` for the hub's own store), how many blobs wait for that, and why."""

    url: str
    secret: str | None
    pending_blobs: int
    problem_code: str | None
    problem_what: str | None
    problem_since: datetime | None


@router.get("")
def show(hub: Hub, who: Who) -> ImageStoreAnswer:
    """Return where new images go, and what waits."""
    return ImageStoreAnswer.model_validate(hub.image_stores.state(who.workspace))


@router.put("")
def choose(ask: ImageStoreAsk, hub: Hub, who: Who) -> ImageStoreAnswer:
    """Let new images go to an external registry, which is tried first, or stay on the hub."""
    return ImageStoreAnswer.model_validate(
        hub.image_stores.choose(who.workspace, ask.url, ask.secret, who.by)
    )
