"""Unfinished uploads as blocks in the object store: any hub of several can go on with them."""

import hashlib
import os
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cloud_hub.blobs.parts import Part
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.errors import StorageFailedError

PREFIX: Final = "uploads"
READ_BYTES: Final = 1024 * 1024


class BlockParts:
    """Blocks below ``{prefix}/{id}/``, put together in ``work_dir`` when all are there."""

    def __init__(self, store: ObjectStore, work_dir: Path, prefix: str = PREFIX) -> None:
        self._store, self._work_dir, self._prefix = store, work_dir, prefix

    def part(self, upload: str) -> Part:
        """See `Parts`."""
        return PartBlocks(self._store, f"{self._prefix}/{upload}", self._work_dir / f"{upload}.part")

    def ids(self) -> Iterable[str]:
        """See `Parts`."""
        return {key.split("/")[1] for key in self._store.keys(self._prefix)}


class PartBlocks:
    """One upload. A block's key is where it begins and how long it is, so no two writers share one."""

    def __init__(self, store: ObjectStore, prefix: str, path: Path) -> None:
        self._store, self._prefix, self._path = store, prefix, path
        self._digest = ""
        self._made: set[Path] = set()

    def resume(self, offset_bytes: int) -> bool:
        """See `Part`: what lies behind is from a broken write, and is passed over."""
        return self._chain(offset_bytes) is not None

    def append(self, start: int, chunks: Sequence[bytes]) -> int:
        """See `Part`: the offset in the database decides between two writers."""
        data = b"".join(chunks)
        self._store.put_bytes(self._key(start, len(data)), data)
        return len(data)

    def whole(self, size_bytes: int) -> Path | None:
        """See `Part`."""
        chain = self._chain(size_bytes)
        if chain is None:
            return None
        found = hashlib.sha256()
        # Each time another file: who asked before may still be reading theirs.
        path = self._path.with_name(f"{self._path.stem}.{uuid.uuid4().hex}.part")
        self._made.add(path)
        with path.open("wb") as file:
            for start, length in chain:
                with self._store.open(self._key(start, length)) as block:
                    while chunk := block.read(READ_BYTES):
                        found.update(chunk)
                        file.write(chunk)
            file.flush()
            os.fdatasync(file.fileno())
            if file.tell() != size_bytes:
                raise StorageFailedError("a block of the upload is cut off", fix="Send the file again.")
        self._digest = f"sha256:{found.hexdigest()}"
        return path

    def digest(self) -> str:
        """See `Part`."""
        return self._digest

    def forget(self) -> None:
        """See `Part`."""
        for path in self._made:
            path.unlink(missing_ok=True)
        for key in list(self._store.keys(self._prefix)):
            self._store.delete(key)

    def _key(self, start: int, length: int) -> str:
        return f"{self._prefix}/{start:015d}-{length}"

    def _chain(self, end: int) -> list[tuple[int, int]] | None:
        """Return (start, length) of blocks that lie one behind the other up to ``end``."""
        ending: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for key in self._store.keys(self._prefix):
            start, length = map(int, key.rpartition("/")[2].split("-"))
            ending[start + length].append((start, length))
        # Writers that overtook one another may have cut the file differently: try every way back.
        ways: list[tuple[int, list[tuple[int, int]]]] = [(end, [])]
        seen = set()
        while ways:
            at, chain = ways.pop()
            if at == 0:
                return chain[::-1]
            if at not in seen:
                seen.add(at)
                ways += [(block[0], [*chain, block]) for block in ending[at]]
        return None
