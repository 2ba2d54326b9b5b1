"""Images in memory that share one layer: what differs is their configuration."""

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from agent.artifacts.errors import FetchRefusedError
from agent.artifacts.fetch import Registry as Port
from agent.artifacts.flow import Watch
from agent.artifacts.store import ContentStore
from contract import oci
from contract.desired import ImageRef
from contract.digests import sha256
from tests.artifacts.registry import Registry, make_tar

LAYER = make_tar({"bin/x": b"it runs"})


class Images:
    """An image of each version for any module."""

    def __init__(self, versions: Iterable[int]) -> None:
        made, architecture = Registry(), oci.architecture_of(os.uname().machine)
        self._images = {
            version: made.add_image([LAYER], architecture, args=("/bin/x", str(version)), name="m")
            for version in versions
        }
        self.content = made.content

    def image(self, module: str, version: int) -> ImageRef:
        """Return the image of a version, named after the module."""
        image = self._images[version]
        return ImageRef(repository=image.repository, digest=image.digest, name=f"{module}:{version}")

    @staticmethod
    def give_layers(store: ContentStore) -> None:
        """Put the layer into a store, as it would be after its first pull."""
        if store.layer(sha256(LAYER)) is None:
            with store.new_layer(sha256(LAYER)) as folder:
                (folder / "bin").mkdir()
                (folder / "bin/x").write_bytes(b"it runs")


class MemoryRegistry:
    """Serves images to one life of an agent: nothing before `let_through`, and nothing once it is cut."""

    def __init__(self, images: Images) -> None:
        self._content = images.content
        self._open = threading.Event()
        self._is_cut = False

    def let_through(self) -> None:
        """Answer what is asked, until `hold`."""
        self._open.set()

    def hold(self) -> None:
        """Let whoever asks wait."""
        self._open.clear()

    def cut(self) -> None:
        """Answer nobody any more."""
        self._is_cut = True
        self._open.set()

    @property
    def hub(self) -> Port:
        """It is the hub."""
        return self

    def watched(self, watch: Watch) -> Port:
        """Nobody has to wait for memory."""
        return self

    def manifest(self, repository: str, digest: str) -> bytes:
        """Return an index or a manifest."""
        self._open.wait()
        if self._is_cut:
            raise FetchRefusedError("the agent is no more", where=digest)
        return self._content[digest]

    def referrers(self, repository: str, digest: str) -> bytes:
        """There are no deltas."""
        raise FetchRefusedError("no referrers", where=digest)

    def blob(self, repository: str, descriptor: oci.Descriptor, target: Path) -> int:
        """Bring a configuration."""
        target.write_bytes(self._content[descriptor.digest])
        return descriptor.size

    def blob_nearby(
        self, repository: str, descriptor: oci.Descriptor, target: Path, *, patient: bool = False
    ) -> int | None:
        """Nothing is nearer."""
        return None
