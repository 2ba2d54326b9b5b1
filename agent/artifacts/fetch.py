"""Reads a registry: the OCI Distribution API 1.1, pull side, over HTTPS with the device's certificate.

No redirect is followed: the certificate and the request are for the hub alone. A download that crawls is
broken off, what it brought is kept, and the next one, which may meet a better line, goes on from there.
"""

import contextlib
import copy
import hashlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit

from agent.artifacts.errors import (
    DigestMismatchError,
    FetchBusyError,
    FetchDamagedError,
    FetchError,
    FetchForbiddenError,
    FetchRefusedError,
    FetchSlowError,
)
from agent.artifacts.flow import Unwatched, Watch
from agent.artifacts.room import storing
from agent.network.line import DIRECT, Network
from contract import oci
from contract.digests import sha256

TIMEOUT_S = 30.0
SLOWEST_BYTES_S = 2_000
SLOW_S = 30.0
DOCUMENT_S = 300.0
HEAD_TIMEOUTS = 3  # to connect, to shake hands, and to be answered
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
ACCEPT = f"{oci.INDEX}, {oci.MANIFEST}"


class Registry(Protocol):
    """Where images come from."""

    def manifest(self, repository: str, digest: str) -> bytes:
        """Return an index or manifest whose digest was checked."""

    def referrers(self, repository: str, digest: str) -> bytes:
        """Return the index of what refers to a manifest; a registry that has none of it refuses."""

    def blob(self, repository: str, descriptor: oci.Descriptor, target: Path) -> int:
        """Bring ``target`` to the whole blob, going on from what it holds; return the bytes received.

        Size and digest were checked when this returns; where they are wrong ``target`` is deleted.
        """

    def blob_nearby(
        self, repository: str, descriptor: oci.Descriptor, target: Path, *, patient: bool = False
    ) -> int | None:
        """Do as `blob` from a place nearer than the hub; none where none has it, and what came is kept.

        ``patient``: wait, within bounds, for neighbours that may have it soon.
        """

    @property
    def hub(self) -> "Registry":
        """The hub alone, which has the deltas."""

    def watched(self, watch: Watch) -> "Registry":
        """Return the same registry for one pull, whose downloads ask ``watch`` as they go."""


class HttpsRegistry:
    """A registry at ``base_url`` (scheme, host, port); a mirror without TLS has no ``context``."""

    def __init__(
        self,
        base_url: str,
        context: ssl.SSLContext | None,
        *,
        network: Network = DIRECT,
        timeout_s: float = TIMEOUT_S,
        slowest_bytes_s: float = SLOWEST_BYTES_S,
        slow_s: float = SLOW_S,
        document_s: float = DOCUMENT_S,
    ) -> None:
        """Give up a request that is silent for ``timeout_s``, or slower than that rate over ``slow_s``.

        A manifest, which cannot be gone on with, has ``document_s`` instead.
        """
        self._pace = (slowest_bytes_s, slow_s)
        self._watch: Watch = Unwatched()
        self._address = urlsplit(base_url)
        self._context = context
        self._network = network
        self._timeout_s = timeout_s
        self._document_s = document_s

    def watched(self, watch: Watch) -> Self:
        """See `Registry`."""
        mine = copy.copy(self)
        mine._watch = watch
        return mine

    def manifest(self, repository: str, digest: str) -> bytes:
        """GET ``/v2/{repository}/manifests/{digest}``."""
        path = f"/v2/{repository}/manifests/{digest}"
        data, whole = self._document(path, ACCEPT)
        if sha256(data) != digest:
            if not whole:
                raise FetchError("the registry broke off", where=path, fix="It is tried again.")
            raise DigestMismatchError("the registry sent another manifest", where=digest)
        return data

    def referrers(self, repository: str, digest: str) -> bytes:
        """GET ``/v2/{repository}/referrers/{digest}``; what it says is proved by nothing, and only offers."""
        path = f"/v2/{repository}/referrers/{digest}"
        return self._document(path, oci.INDEX)[0]

    def blob(self, repository: str, descriptor: oci.Descriptor, target: Path) -> int:
        """GET ``/v2/{repository}/blobs/{digest}``, from where an earlier try broke off."""
        path = f"/v2/{repository}/blobs/{descriptor.digest}"
        have = target.stat().st_size if target.exists() else 0
        received = 0
        if have < descriptor.size:
            headers = {"Range": f"bytes={have}-"} if have else {}
            with self._get(path, headers) as response:
                _expect(response, {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}, path)
                start = have if response.status == HTTPStatus.PARTIAL_CONTENT else 0
                _check_range(response, start, path)
                pace = _Pace(*self._pace, self._watch)
                received = _receive(response, target, start, descriptor.size, pace)
        check_blob(target, descriptor, resumed=have > 0)
        return received

    def blob_nearby(
        self,
        repository: str,
        descriptor: oci.Descriptor,
        target: Path,
        *,
        patient: bool = False,
    ) -> None:
        """Return none: this is one place."""

    @property
    def hub(self) -> Self:
        """See `Registry`."""
        return self

    def _document(self, path: str, accept: str) -> tuple[bytes, bool]:
        """Return a small body, and whether it is known to be whole: one that was cut off is no other one.

        A head without a length may have been cut off itself: `http.client` takes its end for an empty line.
        """
        data, until = bytearray(), time.monotonic() + self._document_s
        with self._get(path, {"Accept": accept}) as response:
            _expect(response, {HTTPStatus.OK}, path)
            while chunk := _read(response, MAX_MANIFEST_BYTES):
                data += chunk
                if len(data) > MAX_MANIFEST_BYTES:
                    raise DigestMismatchError("the registry sent more than a manifest may have", where=path)
                if time.monotonic() > until:
                    raise FetchSlowError("the registry is too slow", where=path, fix="It is tried again.")
            if response.length:
                raise FetchError(f"{response.length} bytes are missing", where=path, fix="It is tried again.")
            whole = response.length is not None or response.chunked
        return bytes(data), whole

    @contextmanager
    def _get(self, path: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
        exchange = self._network.exchange(self._address, self._context, self._timeout_s)
        connection = exchange.connection
        # The time-out is for each wait alone: who sends a head letter by letter would hold us for ever.
        hang_up = threading.Timer(HEAD_TIMEOUTS * self._timeout_s, _hang_up, (connection,))
        hang_up.daemon = True
        hang_up.start()
        try:
            connection.request("GET", exchange.prefix + path, headers={**headers, **exchange.headers})
            with connection.getresponse() as response:
                hang_up.cancel()
                yield response
        except (OSError, http.client.HTTPException) as error:
            raise FetchError(
                f"the registry broke off ({error})", where=path, fix="It is tried again."
            ) from error
        finally:
            hang_up.cancel()
            connection.close()


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """End a connection in use: its reader then sees an end."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _expect(response: http.client.HTTPResponse, good: set[HTTPStatus], path: str) -> None:
    if response.status in good:
        return
    words = f"the registry answered {response.status}"
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE and response.headers.get("Retry-After"):
        raise FetchBusyError(words, where=path, fix="It is tried again.")
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.REQUEST_TIMEOUT,
    }:
        raise FetchError(words, where=path, fix="It is tried again.")
    if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise FetchForbiddenError(words, where=path, fix="Is this device allowed to read there?")
    raise FetchRefusedError(words, where=path, fix="Is the image still registered in the hub?")


def _check_range(response: http.client.HTTPResponse, start: int, path: str) -> None:
    """Raise `FetchError` where a part is another than was asked for: it would spoil what is here."""
    told = response.headers.get("Content-Range", "")
    if response.status == HTTPStatus.PARTIAL_CONTENT and not told.startswith(f"bytes {start}-"):
        raise FetchError("the registry sent another part", where=path, fix="It is tried again.")


class _Pace:
    """Raises `FetchSlowError` where less than ``slowest_bytes_s`` came in over each ``slow_s``.

    Waits that we ask for ourselves are not the registry's.
    """

    def __init__(self, slowest_bytes_s: float, slow_s: float, watch: Watch) -> None:
        self._watch = watch
        self.chunk_bytes = watch.chunk_bytes
        self._least_bytes = slowest_bytes_s * slow_s
        self._slow_s = slow_s
        self._since = time.monotonic()
        self._bytes = 0

    def came(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        self._since += self._watch.came(size_bytes)
        passed_s = time.monotonic() - self._since
        if passed_s < self._slow_s:
            return
        if self._bytes < self._least_bytes:
            raise FetchSlowError(
                f"the registry is too slow ({self._bytes / passed_s:.0f} bytes/s)",
                fix="It goes on in a moment, from where it is.",
            )
        self._since, self._bytes = time.monotonic(), 0


def _receive(
    response: http.client.HTTPResponse, target: Path, offset: int, size_bytes: int, pace: _Pace
) -> int:
    """Append the body at ``offset``; never write more than the blob may have."""
    received = 0
    with storing(target.parent), target.open("r+b" if target.exists() else "wb") as file:
        file.truncate(offset)
        file.seek(offset)
        while chunk := _read(response, pace.chunk_bytes):
            received += len(chunk)
            if offset + received > size_bytes:
                raise DigestMismatchError("the registry sent more than the blob's size", where=target.name)
            file.write(chunk)
            pace.came(len(chunk))
    if offset + received < size_bytes:
        raise FetchError(f"{size_bytes - offset - received} bytes are missing", fix="It is tried again.")
    return received


def _read(response: http.client.HTTPResponse, size_bytes: int) -> bytes:
    try:
        return response.read1(size_bytes)  # what is there: a slow line's bytes are kept as they come
    except (OSError, http.client.HTTPException) as error:
        raise FetchError(f"the registry broke off ({error})", fix="It is tried again.") from error


def check_blob(target: Path, descriptor: oci.Descriptor, *, resumed: bool) -> None:
    """Return if ``target`` has its digest; else delete it, and raise the error that ``resumed`` leads to."""
    with target.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if digest == descriptor.digest:
        return
    target.unlink()
    if resumed:
        # What was there from an earlier try may be to blame: once more, from the start.
        raise FetchDamagedError("the download that was gone on with is damaged", fix="It is pulled anew.")
    raise DigestMismatchError("the bytes pulled do not have their digest", where=descriptor.digest)
