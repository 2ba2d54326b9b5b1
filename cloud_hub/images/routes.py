"""HTTP: images and their builds."""

from datetime import datetime

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.activities.schemas import ActivityAnswer
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask
from contract.ids import split_versioned

router = guarded_router(f"{WORKSPACE}/images", "images")


class BuildAsk(Ask):
    """What to build: a registered model, and a scoring script's digest where there is one."""

    name: str
    model: str
    script_digest: str | None = None


class LayerAnswer(Answer):
    """A layer: what it holds, its digest, the digest of its tar (diff id) and compressed bytes."""

    title: str
    digest: str
    diff_id: str
    size_bytes: int


class PlatformAnswer(Answer):
    """The manifest of one platform (``linux/amd64``), and what a device without any layer pulls."""

    platform: str
    digest: str
    size_bytes: int
    layers: list[LayerAnswer]


class ImageAnswer(Answer):
    """One version of an image; ``model`` and ``layers`` are those of the first model and platform."""

    name: str
    version: int
    description: str
    tags: dict[str, str]
    repository: str
    digest: str
    size_bytes: int
    base: str
    compression: str
    kind: str
    platforms: list[PlatformAnswer]
    layers: list[LayerAnswer]
    models: list[str]
    model: str
    activity: str | None
    created_by: str
    created_at: datetime


@router.post("/builds", status_code=202)
def build(ask: BuildAsk, hub: Hub, who: Who) -> ActivityAnswer:
    """Start a build; its activity's result names the image."""
    row = hub.image_builds.start(
        who.workspace, ask.name, ask.model, script_digest=ask.script_digest, by=who.by
    )
    return ActivityAnswer.model_validate(row)


@router.get("")
def images(hub: Hub, who: Who) -> list[ImageAnswer]:
    """Return all versions."""
    return [ImageAnswer.model_validate(image) for image in hub.images.all_in(who.workspace)]


@router.get("/{image}")
def show(image: str, hub: Hub, who: Who) -> ImageAnswer:
    """Return ``name`` (its newest version) or ``name:version``."""
    name, version = split_versioned(image, where="image")
    return ImageAnswer.model_validate(hub.images.get(who.workspace, name, version))
