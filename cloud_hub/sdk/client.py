"""HTTPS to the hub: one method, typed answers, problems as exceptions."""

import ssl
from collections.abc import Callable, Iterator, Mapping
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
            headers={"Authorization": f"Bearer {context.token}"},
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, kind: type[T], /, **query: Any) -> T:  # noqa: ANN401  query values differ
        """GET and read the answer as ``kind``."""
        params = {name: value for name, value in query.items() if value is not None}
        return self._read(self._send("GET", path, params=params), kind)

    def post(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        """POST JSON and read the answer as ``kind``."""
        return self._read(self._send("POST", path, json=body), kind)

    def put(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        """PUT JSON and read the answer as ``kind``."""
        return self._read(self._send("PUT", path, json=body), kind)

    def patch(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        """PATCH JSON and read the answer as ``kind``."""
        return self._read(self._send("PATCH", path, json=body), kind)

    def delete(self, path: str) -> None:
        """DELETE."""
        self._send("DELETE", path)

    def delete_for(self, path: str, kind: type[T]) -> T:
        """DELETE and read the answer as ``kind``."""
        return self._read(self._send("DELETE", path), kind)

    def post_nothing(self, path: str, body: Mapping[str, Any]) -> None:
        """POST JSON where no answer is expected."""
        self._send("POST", path, json=body)

    def post_text(self, path: str, text: str, media_type: str, kind: type[T]) -> T:
        """POST a text and read the answer as ``kind``."""
        headers = {"Content-Type": media_type}
        return self._read(self._send("POST", path, content=text.encode(), headers=headers), kind)

    def put_file(self, path: str, file: Path) -> None:
        """PUT a file's bytes, streamed."""
        headers = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
        self._send("PUT", path, content=_chunks(file), headers=headers)

    def put_file_for(self, path: str, file: Path, kind: type[T], watch: Callable[[bytes], None]) -> T:
        """PUT a file's bytes, streamed past ``watch``, and read the answer as ``kind``."""
        headers = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
        return self._read(self._send("PUT", path, content=_chunks(file, watch), headers=headers), kind)

    def get_file(self, path: str, target: Path, moved: Callable[[int], None] | None = None) -> None:
        """GET bytes into a file, whole or not at all."""
        beside = target.with_name(f".{target.name}.part")
        try:
            with self._http.stream("GET", path) as response, beside.open("wb") as file:
                if not response.is_success:
                    response.read()
                    raise self._refusal(response)
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    file.write(chunk)
                    if moved is not None:
                        moved(len(chunk))
            beside.replace(target)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        except OSError as error:
            raise SdkError(
                f"cannot write the file ({error.strerror})", where=str(target), fix="Choose another place."
            ) from error
        finally:
            beside.unlink(missing_ok=True)

    def events(self, path: str, last_id: str) -> Iterator[str]:
        """Yield the lines of a server-sent event stream after the event ``last_id`` until it ends."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        timeout = httpx.Timeout(TIMEOUT_S, read=QUIET_S)
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                    raise self._refusal(response)
                yield from response.iter_lines()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401  httpx's own
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise self._refusal(response)
        return response

    def _unreachable(self, error: Exception) -> HubUnreachableError:
        return HubUnreachableError(
            f"no answer from the hub ({error})",
            where=self.context.hub,
            fix="Is `headland hub up` running there?",
        )

    def _refusal(self, response: httpx.Response) -> SdkError:
        try:
            return HubRefusedError(msgspec.json.decode(response.content, type=Problem))
        except msgspec.DecodeError:
            return SdkError(f"the hub answered {response.status_code}", where=self.context.hub)

    def _read(self, response: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise SdkError(
                f"the hub's answer is not what this SDK expects: {error}",
                where=self.context.hub,
                fix="Use the same release of SDK and hub.",
            ) from error


def _chunks(file: Path, watch: Callable[[bytes], None] | None = None) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
            if watch is not None:
                watch(chunk)
