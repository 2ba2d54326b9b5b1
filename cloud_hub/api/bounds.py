"""A bound on requests' bodies, below the application: large ones are for the routes of uploads alone."""

from starlette.types import ASGIApp, Receive, Scope, Send

from cloud_hub.api import problems
from cloud_hub.errors import TooLargeError

MAX_BODY_BYTES = 4 * 1024 * 1024
LARGE = {("PUT", "/blobs/"), ("PATCH", "/uploads/")}


class BoundedBodies:
    """Refuses bodies that are large or do not say their length, unless they are uploads.

    A plain ASGI middleware: what is let through passes untouched, however large.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer 413."""
        if scope["type"] != "http" or _small(scope) or _upload(scope):
            await self._app(scope, receive, send)
            return
        error = TooLargeError(f"a request's body may have {MAX_BODY_BYTES} bytes and must say its length")
        await problems.to_response(error)(scope, receive, send)


def _small(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    return b"transfer-encoding" not in headers and length.isdigit() and int(length) <= MAX_BODY_BYTES


def _upload(scope: Scope) -> bool:
    return any(scope["method"] == method and part in scope["path"] for method, part in LARGE)
