"""What goes over HTTP of images."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.api.version_query import VersionQuery
from cloud_hub.images.search import Search

Bytes = Annotated[int, Field(ge=0, lt=1 << 63)]


class RegisterAsk(Ask):
    """An image to register that was pushed to the repository ``workspace/name``.

    ``reference`` is a tag or digest there; ``models`` are ``name:version`` (or ``name``) of what is inside.
    """

    name: str
    reference: str = Field(max_length=200)
    models: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list)
    description: str = ""
    tags: dict[str, str] = Field(default_factory=dict)


class ImageQuery(VersionQuery):
    """Which images to find; bases and layers may be globs too."""

    model: str | None = None
    platform: str | None = None
    package: str | None = None
    layer: str | None = None
    log: str | None = None
    base: str | None = None
    kind: str | None = None
    min_bytes: Bytes | None = None
    max_bytes: Bytes | None = None

    def search(self) -> Search:
        """Return what to find."""
        return Search(**self.wanted())


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
    """One version of an image; ``model`` and ``layers`` are those of the first model and platform.

    ``size_bytes`` is all that the registry keeps for it, each blob once; ``activity`` built it.
    """

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


class ImagePage(Answer):
    """Some images, and the cursor of those behind them."""

    items: list[ImageAnswer]
    next: str | None


class AttachedAnswer(Answer):
    """A document attached to an image; ``what`` is sbom, provenance, lock or log, or empty for others.

    ``platform`` is empty where it is of the whole image; ``digest`` is its manifest's, ``blob`` its own.
    """

    what: str
    platform: str
    artifact_type: str
    digest: str
    blob: str
    media_type: str
    size_bytes: int
    created_at: datetime


class UseAnswer(Answer):
    """A device's module whose image it is: ``rollout`` (name:revision) says so, or (null) the device."""

    device: str
    module: str
    image: str
    rollout: str | None
