"""The build's `LayerStore` over the hub's blobs and rows."""

from pathlib import Path

from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.images.build.ports import Layer
from cloud_hub.images.rows import LayerRow


class HubLayerStore:
    """Layers in the blob store, remembered by what they were built from."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def cached(self, key: str) -> Layer | None:
        """Return the layer built earlier for ``key``, if its blob is still there."""
        with self._database.reading() as session:
            row = session.get(LayerRow, key)
        if row is None or not self._blobs.exists(row.digest):
            return None
        return Layer(digest=row.digest, diff_id=row.diff_id, size_bytes=row.size_bytes, title=row.title)

    def save(self, key: str, layer: Layer, compressed: Path) -> None:
        """Keep the file, then remember it."""
        self._blobs.save_file(layer.digest, compressed)
        with self._database.transaction() as session:
            session.merge(
                LayerRow(
                    key=key,
                    digest=layer.digest,
                    diff_id=layer.diff_id,
                    size_bytes=layer.size_bytes,
                    title=layer.title,
                )
            )

    def save_blob(self, data: bytes) -> str:
        """Keep a manifest or configuration."""
        return self._blobs.save_bytes(data)
