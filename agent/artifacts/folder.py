"""A folder with blobs by digest (an OCI image layout has them so): a USB stick, a share, a shipped disk.

It may be absent, and be pulled out at any moment; nothing in it is believed before its digest is proved.
"""

import copy
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from agent.artifacts.errors import DigestMismatchError, FetchError, FetchRefusedError
from agent.artifacts.fetch import MAX_MANIFEST_BYTES, check_blob
from agent.artifacts.flow import Unwatched, Watch
from agent.artifacts.room import storing
from contract import oci
from contract.digests import hex_of, sha256


class FolderSource:
    """``blobs/sha256/{hex}`` below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs" / "sha256"
        self._watch: Watch = Unwatched()

    def watched(self, watch: Watch) -> Self:
        """See `Registry`."""
        mine = copy.copy(self)
        mine._watch = watch
        return mine

    def manifest(self, repository: str, digest: str) -> bytes:  # noqa: ARG002  digests are enough
        """Return a manifest whose digest was checked."""
        with self._open(digest) as file:
            data = _read(file, MAX_MANIFEST_BYTES)
        if sha256(data) != digest:
            raise DigestMismatchError("a file is not what its name says", where=str(self._blobs))
        return data

    def blob(self, repository: str, descriptor: oci.Descriptor, target: Path) -> int:  # noqa: ARG002
        """Copy a blob, going on from what ``target`` holds; see `Registry`."""
        have = target.stat().st_size if target.exists() else 0
        copied = 0
        if have < descriptor.size:
            with (
                self._open(descriptor.digest, descriptor.size) as source,
                storing(target.parent),
                target.open("ab") as file,
            ):
                for chunk in self._chunks(source, have):
                    copied += len(chunk)
                    if have + copied > descriptor.size:
                        raise DigestMismatchError("a file grew", where=str(self._blobs))
                    file.write(chunk)
            if have + copied < descriptor.size:
                raise FetchError("a file ended early", where=str(self._blobs))
        check_blob(target, descriptor, resumed=have > 0)
        return copied

    def _chunks(self, source: IO[bytes], offset: int) -> Iterator[bytes]:
        source.seek(offset)
        while chunk := _read(source, self._watch.chunk_bytes):
            self._watch.came(0)  # no line is used
            yield chunk

    @contextmanager
    def _open(self, digest: str, size_bytes: int | None = None) -> Iterator[IO[bytes]]:
        """Open a file that is really one: a stick may hold links, pipes and devices."""
        path = self._blobs / hex_of(digest)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FetchRefusedError("the folder does not have it", where=str(self._blobs)) from error
        except OSError as error:
            raise FetchError(
                f"the folder cannot be read ({error.strerror})", where=str(self._blobs)
            ) from error
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or size_bytes not in {None, facts.st_size}:
            os.close(descriptor)
            raise DigestMismatchError("a file is not what its name says", where=str(self._blobs))
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            yield file


def _read(file: IO[bytes], size_bytes: int) -> bytes:
    try:
        return file.read(size_bytes)
    except OSError as error:
        raise FetchError(f"the folder cannot be read ({error.strerror})", where="folder") from error
