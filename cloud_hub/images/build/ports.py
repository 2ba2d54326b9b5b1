"""What a build is given, what it gives back, and the ports it works through."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloud_hub.images.build.target import Target
from contract import oci


@dataclass(frozen=True)
class Layer:
    """A compressed layer: its digest, the digest of its tar, its compressed size and what it holds."""

    digest: str
    diff_id: str
    size_bytes: int
    title: str
    media_type: str = oci.LAYER_GZIP


@dataclass(frozen=True)
class Wheel:
    """A wheel on disk, with the name it was published under and its digest; ``source`` is of a built one."""

    filename: str
    path: Path
    digest: str
    source: "Source | None" = None


@dataclass(frozen=True)
class Source:
    """The source archive that a wheel was built from, and the wheels that were there to build it."""

    filename: str
    digest: str
    requirements: tuple[Wheel, ...] = ()


@dataclass(frozen=True)
class InputFile:
    """A file of a model that is a folder: its path in the folder, where its bytes are, their digest."""

    path: str
    file: Path
    digest: str


@dataclass(frozen=True)
class BuildInputs:
    """The model to build an image of.

    ``model_file`` is an ONNX file whose bytes have ``model_digest``; validating the model is done
    elsewhere. ``script`` is a scoring script with ``init()`` and ``run(raw_data)``, or None.
    ``model_files`` are all files of a model that is a folder; ``model_digest`` is then the folder's,
    and ``model_file`` is not looked at.
    """

    model_name: str
    model_version: int
    model_file: Path
    model_digest: str
    script: Path | None = None
    model_files: tuple[InputFile, ...] = ()


@dataclass(frozen=True)
class PlatformImage:
    """The image of one platform; ``size_bytes`` is everything that a device without any layer pulls."""

    platform: str
    manifest_digest: str
    config_digest: str
    layers: tuple[Layer, ...]
    size_bytes: int


@dataclass(frozen=True)
class Attached:
    """A document that refers to an image: a manifest with a ``subject``, an artifact type and one blob."""

    title: str
    artifact_type: str
    subject: str
    manifest_digest: str
    blob_digest: str
    size_bytes: int


@dataclass(frozen=True)
class BuiltImage:
    """A finished image: all its blobs are in the layer store.

    ``size_bytes`` is everything that a registry keeps of it, each blob once, without what is attached.
    ``new_layers`` counts the layers that were not in the store before.
    """

    index_digest: str
    manifests: tuple[PlatformImage, ...]
    size_bytes: int
    new_layers: int
    attached: tuple[Attached, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of all platforms, each once."""
        found = {layer.digest: layer for one in self.manifests for layer in one.layers}
        return tuple(found.values())


class LayerStore(Protocol):
    """Where blobs go, and the memory of which inputs gave which layer.

    Implementations may raise any `HeadlandError` or `OSError`.
    """

    def cached(self, key: str) -> Layer | None:
        """Return the layer built earlier for ``key``, if its blob is still in the store."""
        ...

    def save(self, key: str, layer: Layer, compressed: Path) -> None:
        """Keep the file as the blob ``layer.digest`` and remember it for ``key``.

        The file may be moved away. The blob is durable before the key is remembered.
        """
        ...

    def save_blob(self, data: bytes) -> str:
        """Keep a small blob (a configuration, manifest or index) and return its digest."""
        ...


class WheelSource(Protocol):
    """Where the Python dependencies of an image come from."""

    def wheels(self, target: Target) -> tuple[Wheel, ...]:
        """Return the wheels to install for a Python, in any order; raises `WheelDownloadError`."""
        ...


class Progress(Protocol):
    """Told how far a build is."""

    def __call__(self, fraction: float, message: str) -> None:
        """Take note: ``fraction`` is 0.0 to 1.0 and never falls; ``message`` says what comes next."""
        ...
