"""Layers and blobs in a folder: for tests, and for building images without a hub."""

import os
import tempfile
from pathlib import Path
from typing import Final

from cloud_hub.images.build.ports import Layer
from contract.digests import hex_of, sha256
from contract.encoding import canonical, decode
from contract.errors import ContractError

BLOBS: Final = "blobs/sha256"  # as in an OCI image layout


class FolderLayerStore:
    """A `LayerStore`: blobs below ``blobs/sha256``, and for each key a small file that names its layer.

    ``hits`` counts the layers that were found, ``saved`` those that were kept.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.hits = 0
        self.saved = 0
        for folder in (BLOBS, "keys"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def blob(self, digest: str) -> Path:
        """Return where a blob is, whether it is there or not."""
        return self._root / BLOBS / hex_of(digest)

    def cached(self, key: str) -> Layer | None:
        """Return the layer built for ``key``, if its blob is here and as long as it was."""
        try:
            layer = decode(self._key(key).read_bytes(), Layer, what="cached layer")
            if self.blob(layer.digest).stat().st_size != layer.size_bytes:
                return None
        except (FileNotFoundError, ContractError):
            return None
        self.hits += 1
        return layer

    def save(self, key: str, layer: Layer, compressed: Path) -> None:
        """Move the file in, and then remember it for ``key``."""
        with compressed.open("rb+") as stream:
            os.fsync(stream.fileno())
        compressed.chmod(0o644)
        compressed.replace(self.blob(layer.digest))
        self._write(self._key(key), canonical(layer))
        self.saved += 1

    def save_blob(self, data: bytes) -> str:
        """Keep ``data`` and return its digest."""
        digest = sha256(data)
        self._write(self.blob(digest), data)
        return digest

    def _key(self, key: str) -> Path:
        return self._root / "keys" / f"{hex_of(key)}.json"

    def _write(self, path: Path, data: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as stream:
            try:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
                Path(stream.name).replace(path)
            except OSError:
                Path(stream.name).unlink(missing_ok=True)
                raise
