"""HTTPS to the hub: one method, typed answers, problems as exceptions."""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from cloud_hub.sdk.context import Context
from cloud_hub.sdk.errors import HubRefusedError, HubUnreachableError, SdkError
from contract.errors import Problem

T = TypeVar("T")

API = "/api/v1"
TIMEOUT_S = 60.0
QUIET_S = 45.0  # three heartbeats of a stream that has nothing to say
CHUNK_BYTES = 1 << 20


class Client:
    """A connection to one hub as one caller; close it, or use it as a context manager."""

    def __init__(self, context: Context) -> None:
        self.context = context
        try:
            tls = ssl.create_default_context(cadata=context.ca_pem)
        except ssl.SSLError as error:
            raise SdkError("the context's CA certificate cannot be read", fix="Log in again.") from error
        self._http = httpx.Client(
            base_url=context.hub + API,
            verify=tls,
            timeout=TIMEOUT_S,
            headers=_credential(context.token),
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, kind: type[T], /, **query: Any) -> T:  # noqa: ANN401  query values differ
        """GET and read the answer as ``kind``."""
        return self._read(self.send("GET", path, params=_said(query)), kind)

    def get_bytes(self, path: str, /, **query: Any) -> bytes:  # noqa: ANN401  query values differ
        """GET a document as it is."""
        return self.send("GET", path, params=_said(query)).content

    def post(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        """POST JSON and read the answer as ``kind``."""
        return self._read(self.send("POST", path, json=body), kind)

    def put(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        """PUT JSON and read the answer as ``kind``."""
        return self._read(self.send("PUT", path, json=body), kind)

    def patch(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        """PATCH JSON and read the answer as ``kind``."""
        return self._read(self.send("PATCH", path, json=body), kind)

    def delete(self, path: str) -> None:
        """DELETE."""
        self.send("DELETE", path)

    def delete_for(self, path: str, kind: type[T]) -> T:
        """DELETE and read the answer as ``kind``."""
        return self._read(self.send("DELETE", path), kind)

    def post_nothing(self, path: str, body: Mapping[str, Any] | Sequence[Any]) -> None:
        """POST JSON where no answer is expected."""
        self.send("POST", path, json=body)

    def post_text(
        self,
        path: str,
        text: str,
        media_type: str,
        kind: type[T],
        **query: Any,  # noqa: ANN401  query values differ
    ) -> T:
        """POST a text and read the answer as ``kind``."""
        headers, params = {"Content-Type": media_type}, _said(query)
        answer = self.send("POST", path, content=text.encode(), headers=headers, params=params)
        return self._read(answer, kind)

    def put_file(self, path: str, file: Path, size_bytes: int) -> None:
        """PUT a small file's bytes."""
        headers = {"Content-Type": "application/octet-stream"}
        data = file.read_bytes()
        if len(data) != size_bytes:
            raise SdkError("the file changed while it was sent", where=str(file), fix="Send it again.")
        self.send("PUT", path, content=data, headers=headers)

    def put_stream(self, path: str, file: Path, kind: type[T], watch: Callable[[bytes], None]) -> T:
        """PUT a file's bytes, streamed past ``watch``, and read the answer as ``kind``."""
        headers = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
        return self._read(self.send("PUT", path, content=_chunks(file, watch), headers=headers), kind)

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], *, quiet_s: float = TIMEOUT_S
    ) -> Iterator[httpx.Response]:
        """GET without reading the answer, which is whole or in part; it ends with the block.

        ``quiet_s``: how long nothing may come before the hub counts as gone.
        """
        timeout = httpx.Timeout(TIMEOUT_S, read=quiet_s)
        try:
            with self._http.stream("GET", path, headers=dict(headers), timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                yield self._checked(response)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def events(self, path: str, last_id: str) -> Iterator[str]:
        """Yield the lines of a server-sent event stream after the event ``last_id`` until it ends."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        with self.stream(path, headers, quiet_s=QUIET_S) as response:
            yield from response.iter_lines()

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401  httpx's own
        """Send a request and return its answer, which is no problem."""
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return self._checked(response)

    def _unreachable(self, error: httpx.TransportError) -> HubUnreachableError:
        return HubUnreachableError(
            f"no answer from the hub ({error})",
            where=self.context.hub,
            fix="Is `headland hub up` running there?",
        )

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except msgspec.DecodeError as error:
            raise SdkError(f"the hub answered {response.status_code}", where=self.context.hub) from error
        raise HubRefusedError(problem)

    def _read(self, response: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise SdkError(
                f"the hub's answer is not what this SDK expects: {error}",
                where=self.context.hub,
                fix="Use the same release of SDK and hub.",
            ) from error


def _said(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a query says, with times as ISO 8601."""
    said = {name: value for name, value in query.items() if value is not None}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in said.items()}


def _credential(token: str) -> dict[str, str]:
    """Return the header that says who asks; none where nobody is logged in yet: an empty one is no HTTP."""
    if not token:
        return {}
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SdkError("that is no token", fix="Take it as it was printed, a line without blanks.")
    return {"Authorization": f"Bearer {token}"}


def _chunks(file: Path, watch: Callable[[bytes], None]) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
            watch(chunk)
