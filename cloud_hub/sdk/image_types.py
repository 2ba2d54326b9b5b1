"""What the hub answers of images, typed."""

from datetime import datetime

import msgspec


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer: what it holds, its digest, the digest of its tar (diff id) and compressed bytes."""

    title: str
    digest: str
    diff_id: str = ""
    size_bytes: int


class ImagePlatform(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of one platform (``linux/amd64``), and what a device without any layer pulls."""

    platform: str
    digest: str
    size_bytes: int
    layers: list[Layer]


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an image; ``model`` and ``layers`` are those of the first model and platform.

    ``size_bytes`` is all that the registry keeps for it, each blob once. ``kind`` is ``cpu``, ``fpga`` or
    ``pushed``; ``activity`` built it.
    """

    name: str
    version: int
    description: str = ""
    tags: dict[str, str] = {}
    repository: str
    digest: str
    size_bytes: int
    base: str = ""
    compression: str = ""
    kind: str = "cpu"
    platforms: list[ImagePlatform] = []
    layers: list[Layer]
    models: list[str] = []
    model: str
    activity: str | None = None
    created_by: str
    created_at: datetime


class ImagePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some images, and the cursor of those behind them."""

    items: list[Image]
    next: str | None


class Attached(msgspec.Struct, frozen=True, kw_only=True):
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


class ImageUse(msgspec.Struct, frozen=True, kw_only=True):
    """A device's module whose image it is: ``rollout`` (name:revision) says so, or (None) the device."""

    device: str
    module: str
    image: str
    rollout: str | None
