"""What is done with every request: an id that names it everywhere, and a bound on its body."""

import logging
import re
import time
import uuid

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-Id"
GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")


def request_id_of(request: Request) -> str:
    """Return the request's id; one that the client gave is kept where it is a plain word."""
    if not hasattr(request.state, "request_id"):
        given = request.headers.get(REQUEST_ID, "")
        request.state.request_id = given if GIVEN.fullmatch(given) else uuid.uuid4().hex
    return str(request.state.request_id)


class Named:
    """ASGI middleware: tells the client the request's id, and logs what was asked and answered.

    No query and no body is logged.

    Plain ASGI and no `BaseHTTPMiddleware`, which passes each piece of a body through a queue and a task.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the id to the answer's head."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Request(scope))
        started_s = time.monotonic()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
                took_ms = (time.monotonic() - started_s) * 1000
                status = message["status"]
                log.debug(
                    "%s %s %s: %d in %.0f ms", request_id, scope["method"], scope["path"], status, took_ms
                )
            await send(message)

        await self._app(scope, receive, told)
