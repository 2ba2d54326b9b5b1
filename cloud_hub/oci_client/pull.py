"""Pulling: manifests and blobs, each with its digest (OCI Distribution API 1.1, end-2 and end-3)."""

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cloud_hub.oci_client.documents import ACCEPT, MAX_MANIFEST_BYTES, Descriptor
from cloud_hub.oci_client.errors import RegistryCancelledError, RegistryContentError, RegistryError
from cloud_hub.oci_client.requests import RegistryRequests, scope_of
from cloud_hub.outbound.client import Opened, OutboundLimits
from cloud_hub.outbound.errors import OutboundFailedError, OutboundTooLargeError
from contract.digests import sha256

MANIFEST_LIMITS: Final = OutboundLimits(total_s=60.0, max_answer_bytes=MAX_MANIFEST_BYTES)
IDLE_S: Final = 60.0
LEAST_BYTES_PER_S: Final = 32 * 1024
"""A blob that comes more slowly than this, on the whole, is given up."""
TRIES: Final = 4
CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:\d{1,18}|\*)")


@dataclass(frozen=True)
class Fetched:
    """A manifest or index as it came, with the digest of its bytes."""

    data: bytes
    media_type: str
    digest: str


def fetch_manifest(requests: RegistryRequests, repository: str, asked: str) -> Fetched:
    """Return a manifest or index by tag or digest; raises `RegistryError` and what `Outbound` does."""
    path = f"/v2/{repository}/manifests/{asked}"
    where = f"{requests.registry}/{repository}"
    try:
        with requests.ask(
            "GET",
            path,
            scope=scope_of(repository, "pull"),
            headers={"Accept": ACCEPT},
            limits=MANIFEST_LIMITS,
        ) as answer:
            if answer.status != 200:
                raise requests.failed(answer, f"{repository}, its manifest {asked}")
            data = b"".join(answer.chunks)
    except OutboundTooLargeError as error:
        raise _content(f"its manifest has more than {MAX_MANIFEST_BYTES} bytes", where) from error
    digest = sha256(data)
    if ":" in asked and digest != asked:
        raise _content("the manifest does not have the digest that was asked for", where)
    return Fetched(data, answer.header("content-type"), digest)


def fetch_small(requests: RegistryRequests, repository: str, blob: Descriptor) -> bytes:
    """Return a small blob, such as a configuration; raises as `fetch_manifest` does."""
    where = f"{requests.registry}/{repository}"
    if blob.size > MAX_MANIFEST_BYTES:
        raise _content(f"its configuration has more than {MAX_MANIFEST_BYTES} bytes", where)
    with _open(requests, repository, blob, 0, blob.size) as answer:
        data = b"".join(_bounded(answer, blob.size, where))
    if len(data) != blob.size or sha256(data) != blob.digest:
        raise _content("a blob does not have its digest and size", where)
    return data


def fetch_blob(
    requests: RegistryRequests,
    repository: str,
    blob: Descriptor,
    target: Path,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Write a blob to the file ``target``, going on by range where a download breaks off.

    Of what is wrong nothing stays. Raises `RegistryError` and its subclasses, `OutboundRefusedError`.
    """
    where, failures = f"{requests.registry}/{repository}", 0
    try:
        with target.open("wb") as file:
            state = _Download(file, blob, where, cancelled)
            while not state.done:
                before = state.have
                try:
                    with _open(requests, repository, blob, before, blob.size) as answer:
                        state.take(answer)
                except (OutboundFailedError, RegistryError) as error:
                    failures = 0 if state.have > before else failures + 1
                    if not error.retriable or failures >= TRIES:
                        raise
                    pause(min(2.0**failures, 10.0))
            state.check()
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@contextmanager
def open_blob(
    requests: RegistryRequests, repository: str, digest: str, size_bytes: int, offset: int, length: int
) -> Iterator[Iterator[bytes]]:
    """Open the part of a blob from ``offset`` on; its chunks are that part and no more.

    A whole blob's last chunk only comes where all of it has the digest. Errors as `fetch_blob`.
    """
    blob = Descriptor(mediaType="", digest=digest, size=size_bytes)
    where = f"{requests.registry}/{repository}"
    with _open(requests, repository, blob, offset, offset + length) as answer:
        skip = 0 if answer.status == 206 else offset
        chunks = _part(_bounded(answer, size_bytes, where), skip, length, where)
        yield _verified(chunks, digest, where) if (offset, length) == (0, size_bytes) else chunks


class _Download:
    """A blob that is being written; ``have`` bytes of it are there."""

    def __init__(self, file: BinaryIO, blob: Descriptor, where: str, cancelled: Callable[[], bool]) -> None:
        self.have = 0
        self._file = file
        self._blob = blob
        self._where = where
        self._cancelled = cancelled
        self._hash = hashlib.sha256()

    @property
    def done(self) -> bool:
        return self.have >= self._blob.size

    def take(self, answer: Opened) -> None:
        if answer.status != 206 and self.have:
            # It does not do ranges: from the start.
            self._file.seek(0)
            self._file.truncate()
            self.have, self._hash = 0, hashlib.sha256()
        for chunk in _bounded(answer, self._blob.size - self.have, self._where):
            if self._cancelled():
                raise RegistryCancelledError("the download was cancelled", where=self._where)
            self._file.write(chunk)
            self._hash.update(chunk)
            self.have += len(chunk)
        if not self.done:
            raise RegistryError("a blob broke off", where=self._where, fix="Try again.")

    def check(self) -> None:
        if f"sha256:{self._hash.hexdigest()}" != self._blob.digest:
            raise _content("a blob does not have its digest", self._where)


@contextmanager
def _open(
    requests: RegistryRequests, repository: str, blob: Descriptor, first: int, end: int
) -> Iterator[Opened]:
    """Open the bytes of a blob from ``first`` to before ``end``; the whole blob where ranges are not done."""
    whole = (first, end) == (0, blob.size)
    limits = OutboundLimits(
        total_s=120.0 + blob.size / LEAST_BYTES_PER_S, idle_s=IDLE_S, max_answer_bytes=blob.size + 1
    )
    with requests.ask(
        "GET",
        f"/v2/{repository}/blobs/{blob.digest}",
        scope=scope_of(repository, "pull"),
        headers={} if whole else {"Range": f"bytes={first}-{end - 1}"},
        limits=limits,
    ) as answer:
        if answer.status not in {200, 206}:
            raise requests.failed(answer, f"{repository}, its blob {blob.digest}")
        if answer.status == 206:
            found = CONTENT_RANGE.fullmatch(answer.header("content-range"))
            if whole or found is None or (int(found[1]), int(found[2])) != (first, end - 1):
                raise _content("another part of a blob came than was asked for", requests.registry)
        yield answer


def _bounded(answer: Opened, most: int, where: str) -> Iterator[bytes]:
    left = most
    try:
        for chunk in answer.chunks:
            left -= len(chunk)
            if left < 0:
                raise _content("a blob is larger than its descriptor says", where)
            yield chunk
    except OutboundTooLargeError as error:
        raise _content("a blob is larger than its descriptor says", where) from error


def _part(chunks: Iterator[bytes], skip: int, length: int, where: str) -> Iterator[bytes]:
    left = length
    for chunk in chunks:
        piece = chunk[skip : skip + left]
        skip = max(0, skip - len(chunk))
        left -= len(piece)
        if piece:
            yield piece
        if not left:
            return
    if left:
        raise RegistryError("a blob broke off", where=where, fix="Try again.")


def _verified(chunks: Iterator[bytes], digest: str, where: str) -> Iterator[bytes]:
    seen, held = hashlib.sha256(), b""
    for chunk in chunks:
        if held:
            yield held
        seen.update(chunk)
        held = chunk
    if f"sha256:{seen.hexdigest()}" != digest:
        raise _content("a blob does not have its digest", where)
    if held:
        yield held


def _content(what: str, where: str) -> RegistryContentError:
    return RegistryContentError(what, where=where, fix="Try again; then ask who runs the registry.")
