"""Telemetry files in datastores as files of this machine: in place in a folder, else through a read cache."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cloud_hub.blobs.below import path_of
from cloud_hub.blobs.errors import StoreError
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.blobs.read_cache import ReadCache
from cloud_hub.telemetry.places import Places
from cloud_hub.telemetry.rows import FileRow


class AttachedFiles:
    """Reads through ``cache_dir``, which holds at most ``cache_bytes``."""

    def __init__(self, places: Places, cache_dir: Path, cache_bytes: int) -> None:
        self._places = places
        self._sources = _Sources()
        self._cache = ReadCache(self._sources, cache_dir, cache_bytes)

    @contextmanager
    def held(self, workspace: str, rows: Sequence[FileRow]) -> Iterator[dict[str, Path]]:
        """Keep files of one workspace for the time of the block; give path by key.

        Raises `StoreError`, `ReadCacheError`, and as `Places.open`.
        """
        for name in sorted({row.datastore for row in rows if row.datastore is not None}):
            self._sources.stores[workspace, name] = self._places.open(workspace, name)
        paths: dict[str, Path] = {}
        fetched: dict[str, FileRow] = {}
        for row in rows:
            path = self._in_place(row)
            if path is None:
                fetched[f"{workspace}/{row.datastore}/{row.key}"] = row
            else:
                paths[row.key] = path
        with self._cache.held({key: row.size_bytes for key, row in fetched.items()}) as found:
            yield paths | {fetched[key].key: path for key, path in found.items()}

    def folder(self, workspace: str) -> Path:
        """Return the folder of the cache that holds this workspace's files, and no others."""
        return self._cache.folder(workspace)

    def _in_place(self, row: FileRow) -> Path | None:
        """Return the file itself where it is on this machine, as whole as it was written."""
        try:
            path = path_of(self._sources.stores[row.workspace, str(row.datastore)], row.key)
            if path is not None and path.stat().st_size != row.size_bytes:
                raise StoreError(
                    "a telemetry file is not as long as it was written", where=str(path), fix="Restore it."
                )
        except OSError as error:
            raise StoreError(
                f"a telemetry file is gone from the datastore {row.datastore} ({error.strerror})",
                where=row.key,
                fix="Restore it, or attach the share again.",
            ) from error
        return path


class _Sources:
    """All datastores as one source: keys begin with workspace and name."""

    def __init__(self) -> None:
        self.stores: dict[tuple[str, str], ObjectStore] = {}

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Read from ``offset``."""
        workspace, name, rest = key.split("/", 2)
        return self.stores[workspace, name].open(rest, offset)
