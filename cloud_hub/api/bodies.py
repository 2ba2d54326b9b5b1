"""Bodies of requests: how large, and how slow, one may be.

Small ones are read here, before anything of the application sees the request, and counted as they
arrive: what a header says of their size is not believed. Uploads of files go on as a stream, whose
size their route bounds; what is bounded here is how long they may take.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_hub.api import problems
from cloud_hub.errors import HubError, InvalidInputError, RequestTimeoutError, TooLargeError

_PUSH: Final = r"/v2/[^/]+/[^/]+/blobs/uploads/[^/]*"
UPLOAD: Final = {
    "POST": re.compile(_PUSH),
    "PUT": re.compile(rf"/api/v1/workspaces/[^/]+/(blobs/[^/]+|datastores/[^/]+/files/.+)|{_PUSH}"),
    "PATCH": re.compile(rf"/api/v1/workspaces/[^/]+/uploads/[^/]+|{_PUSH}"),
}
"""By method, the paths of what streams its body and bounds it by itself."""


@dataclass(frozen=True)
class BodyLimits:
    """Bounds of one body: bytes; seconds to begin with; and bytes a second that earn more of them."""

    max_bytes: int = 4 * 1024 * 1024
    grace_s: float = 60.0
    least_bytes_per_s: float = 8 * 1024.0


class BoundedBodies:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, limits: BodyLimits | None = None) -> None:
        self._app = app
        self._limits = limits or BodyLimits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the application where a body is too large or too slow."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        timed = _Timed(receive, self._limits)
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            # PostgreSQL holds none in a text, and no name has one.
            error = InvalidInputError("the address holds a zero byte", fix="Leave it out.")
            await problems.to_response(error, Request(scope))(scope, receive, send)
            return
        streamed = UPLOAD.get(scope["method"])
        if streamed is not None and streamed.fullmatch(scope["path"]):
            await self._app(scope, timed, send)
            return
        try:
            whole = await self._read(scope, timed)
        except HubError as failure:
            response = problems.to_response(failure, Request(scope))
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        await self._app(scope, _Replayed(whole, receive), send)

    async def _read(self, scope: Scope, receive: "_Timed") -> bytes:
        for name, value in scope["headers"]:
            # Said to be too large: nobody needs to send it. A smaller number promises nothing.
            if name == b"content-length" and value.isdigit() and int(value) > self._limits.max_bytes:
                raise self._too_large()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidInputError("the client left before its request was whole")
            body += message.get("body", b"")
            if len(body) > self._limits.max_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"a request's body may have {self._limits.max_bytes} bytes", fix="Send less.")


class _Timed:
    """`receive` that ends with `RequestTimeoutError` when a body comes too slowly."""

    def __init__(self, receive: Receive, limits: BodyLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._began = asyncio.get_running_loop().time()
        self._bytes = 0
        self._done = False

    async def __call__(self) -> Message:
        if self._done:
            return await self._receive()
        earned = self._bytes / self._limits.least_bytes_per_s
        try:
            async with asyncio.timeout_at(self._began + self._limits.grace_s + earned):
                message = await self._receive()
        except TimeoutError as error:
            raise RequestTimeoutError(
                "the request's body came too slowly", fix="Send it again over a faster line."
            ) from error
        self._bytes += len(message.get("body", b""))
        self._done = not message.get("more_body", False)
        return message


class _Replayed:
    """`receive` of a body that was read before."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
