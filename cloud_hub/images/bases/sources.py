"""Where a base's manifest, configuration and layers come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloud_hub.images.bases.errors import BasePlatformError
from cloud_hub.oci_client.documents import Descriptor, Document, for_platform, read_document
from cloud_hub.oci_client.errors import RegistryContentError
from cloud_hub.oci_client.pull import fetch_blob, fetch_manifest, fetch_small
from cloud_hub.oci_client.references import Reference
from cloud_hub.oci_client.requests import RegistryRequests


@dataclass(frozen=True)
class FoundImage:
    """An image for one platform: what it is called with its digest, its documents, its layers lowest first.

    ``digest`` is the manifest's. A layer whose type says that it is not compressed and that
    ``compress`` speaks of is stored gzip-compressed, as nobody knows it by its digest.
    """

    source: str
    digest: str
    config: bytes
    layers: tuple[Descriptor, ...]
    compress: bool = False


class BaseSource(Protocol):
    """One base. Its methods block; they raise `HubError`."""

    def find(self, platform: str) -> FoundImage:
        """Return the image for ``os/architecture``; raises `BasePlatformError` where there is none."""
        ...

    def fetch(self, layer: Descriptor, target: Path) -> None:
        """Write a layer of it, which has its digest and size, to the file ``target``."""
        ...


class RegistryBase:
    """`BaseSource` in a registry; the reference is looked up once, and from then on it is a digest."""

    def __init__(
        self, requests: RegistryRequests, reference: Reference, *, cancelled: Callable[[], bool]
    ) -> None:
        self._requests = requests
        self._reference = reference
        self._cancelled = cancelled
        self._top: tuple[Document, str] | None = None

    def find(self, platform: str) -> FoundImage:
        """See `BaseSource.find`."""
        path = self._reference.path
        top, digest = self._resolved()
        source = str(self._reference.at(digest))
        if top.is_index:
            chosen = for_platform(top, platform)
            if chosen is None:
                raise no_platform(platform, source)
            top, digest = self._document(chosen.digest, chosen.mediaType)
        if top.config is None or top.layers is None:
            raise RegistryContentError("its list leads to another list", where=source)
        config = fetch_small(self._requests, path, top.config)
        return FoundImage(f"oci:{source}", digest, config, top.layers)

    def fetch(self, layer: Descriptor, target: Path) -> None:
        """See `BaseSource.fetch`."""
        fetch_blob(self._requests, self._reference.path, layer, target, cancelled=self._cancelled)

    def _resolved(self) -> tuple[Document, str]:
        if self._top is None:
            self._top = self._document(self._reference.asked, "")
        return self._top

    def _document(self, asked: str, media_type: str) -> tuple[Document, str]:
        found = fetch_manifest(self._requests, self._reference.path, asked)
        return read_document(
            found.data, media_type or found.media_type, where=str(self._reference)
        ), found.digest


def no_platform(platform: str, where: str) -> BasePlatformError:
    """Return the error for a base that is not there for a platform."""
    return BasePlatformError(
        f"the base is not there for {platform}", where=where, fix="Name a base that has this platform."
    )
