"""Files to and from the hub: they go on where they were cut, and count only with the right digest.

An upload's state is the hub's, found by the file's digest; a download's is the part file beside its target.
"""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Self

import httpx

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.errors import HubRefusedError, HubUnreachableError, SdkError
from cloud_hub.sdk.types import Upload

CHUNK_BYTES = 1 << 20
PART_BYTES = 256 << 20
AT_ONCE_BYTES = 1 << 20
BEHIND_CHUNKS = 4
PAUSE_S = 0.5
PATIENCE_S = 60.0

Moved = Callable[[int, int], None]
"""``moved(done_bytes, size_bytes)``: told now and then how far a file is."""


def nobody(_done_bytes: int, _size_bytes: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class LocalFile:
    """A file here, with its digest and bytes."""

    path: Path
    digest: str
    size_bytes: int


def look_at(path: Path) -> LocalFile:
    """Return a file with its digest; raises `SdkError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return LocalFile(path, f"sha256:{digest}", file.tell())
    except OSError as error:
        raise SdkError(
            f"the file cannot be read ({error.strerror})", where=str(path), fix="Check the path."
        ) from error


def upload(
    client: Client, workspace: str, file: LocalFile, moved: Moved = nobody, *, patience_s: float = PATIENCE_S
) -> None:
    """Bring a file's bytes into a workspace; what the workspace has already is not sent.

    A cut is waited out for ``patience_s`` seconds without any progress, then raised.
    """
    if file.size_bytes <= AT_ONCE_BYTES:
        client.put_file(f"/workspaces/{workspace}/blobs/{file.digest}", file.path, file.size_bytes)
        moved(file.size_bytes, file.size_bytes)
        return
    path, furthest, gave_up_at = f"/workspaces/{workspace}/uploads", -1, time.monotonic() + patience_s
    while True:
        try:
            body = {"digest": file.digest, "size_bytes": file.size_bytes}
            state = client.post(path, body, Upload)
            if state.offset_bytes > furthest:
                furthest, gave_up_at = state.offset_bytes, time.monotonic() + patience_s
            moved(state.offset_bytes, file.size_bytes)
            if state.complete:
                return
            _send_part(client, f"{path}/{file.digest}", file, state.offset_bytes, moved)
        except (HubUnreachableError, HubRefusedError) as error:
            again = isinstance(error, HubUnreachableError) or error.problem.retriable
            if not again or time.monotonic() > gave_up_at:
                raise
            time.sleep(PAUSE_S)


def _send_part(client: Client, path: str, file: LocalFile, offset_bytes: int, moved: Moved) -> None:
    length = min(PART_BYTES, file.size_bytes - offset_bytes)
    headers = {
        "Upload-Offset": str(offset_bytes),
        "Upload-Complete": "?1" if offset_bytes + length == file.size_bytes else "?0",
        "Content-Type": "application/partial-upload",
        "Content-Length": str(length),
    }

    def chunks() -> Iterator[bytes]:
        done = offset_bytes
        with file.path.open("rb") as source:
            source.seek(offset_bytes)
            while done < offset_bytes + length:
                chunk = source.read(min(CHUNK_BYTES, offset_bytes + length - done))
                if not chunk:
                    raise SdkError("the file became shorter", where=str(file.path), fix="Send it again.")
                yield chunk
                done += len(chunk)
                moved(done, file.size_bytes)

    client.send("PATCH", path, content=chunks(), headers=headers)


def download(
    client: Client, path: str, file: LocalFile, moved: Moved = nobody, *, patience_s: float = PATIENCE_S
) -> None:
    """Fetch ``path`` of the hub into ``file``, which is there whole, with its digest, or not at all.

    What an earlier, cut off download left beside the target is not fetched again.
    """
    part = file.path.with_name(f".{file.path.name}.{file.digest[-12:]}.part")
    file.path.parent.mkdir(parents=True, exist_ok=True)
    gave_up_at = time.monotonic() + patience_s
    try:
        with part.open("a+b") as target:
            seen = hashlib.sha256()
            done = _hash_of(target, seen, file.size_bytes)
            with WriteBehind(target, seen) as behind:
                while done < file.size_bytes:
                    try:
                        for chunk in _fetch(client, path, file, done):
                            behind.take(chunk)
                            done += len(chunk)
                            moved(done, file.size_bytes)
                            gave_up_at = time.monotonic() + patience_s
                    except HubUnreachableError:
                        if time.monotonic() > gave_up_at:
                            raise
                        time.sleep(PAUSE_S)
            target.flush()
            os.fsync(target.fileno())
        if f"sha256:{seen.hexdigest()}" != file.digest:
            part.unlink()
            raise SdkError(
                "the bytes that arrived do not have the file's digest", where=file.path.name, fix="Try again."
            )
        part.replace(file.path)
    except OSError as error:
        raise SdkError(f"the file cannot be written ({error.strerror})", where=str(file.path)) from error
    moved(file.size_bytes, file.size_bytes)


class WriteBehind:
    """Hashes and writes chunks in a thread of its own, in their order, while the next ones arrive.

    All that was taken is written when the block ends, also where it ends by an error; what could not be
    written is raised by the next `take`, or at the end of a block that ends well.
    """

    def __init__(self, target: BinaryIO, seen: "hashlib._Hash") -> None:
        self._target = target
        self._seen = seen
        self._thread = ThreadPoolExecutor(1, "download")
        self._waiting: deque[Future[None]] = deque()
        self._broken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        while self._waiting and kind is None:
            self._waiting.popleft().result()

    def take(self, chunk: bytes) -> None:
        """Pass a chunk on; waits where several have not been written yet."""
        while len(self._waiting) >= BEHIND_CHUNKS:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._write, chunk))

    def _write(self, chunk: bytes) -> None:
        if self._broken:
            return  # behind a chunk that is missing
        self._broken = True
        self._target.write(chunk)
        self._seen.update(chunk)
        self._broken = False


def _hash_of(target: BinaryIO, seen: "hashlib._Hash", most_bytes: int) -> int:
    """Hash what is there already; begin anew where it is longer than the file can be."""
    target.seek(0)
    done = 0
    while chunk := target.read(CHUNK_BYTES):
        seen.update(chunk)
        done += len(chunk)
    if done > most_bytes:
        raise SdkError("the part file is not ours", where=str(target.name), fix="Remove it.")
    return done


def _fetch(client: Client, path: str, file: LocalFile, offset_bytes: int) -> Iterator[bytes]:
    headers = {"Range": f"bytes={offset_bytes}-", "If-Range": f'"{file.digest}"'} if offset_bytes else {}
    with client.stream(path, headers) as response:
        if offset_bytes and response.status_code != HTTPStatus.PARTIAL_CONTENT:
            raise SdkError("the hub does not go on with the file", where=path, fix="Remove the part file.")
        try:
            yield from response.iter_raw(CHUNK_BYTES)
        except httpx.TransportError as error:
            raise HubUnreachableError("the connection broke off", where=client.context.hub) from error
