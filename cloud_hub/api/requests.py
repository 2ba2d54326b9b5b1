"""What is done with every request: an id that names it everywhere, and a bound on its body."""

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable

from fastapi import Request, Response

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-Id"
GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")

Next = Callable[[Request], Awaitable[Response]]


def request_id_of(request: Request) -> str:
    """Return the request's id; one that the client gave is kept where it is a plain word."""
    if not hasattr(request.state, "request_id"):
        given = request.headers.get(REQUEST_ID, "")
        request.state.request_id = given if GIVEN.fullmatch(given) else uuid.uuid4().hex
    return str(request.state.request_id)


async def named(request: Request, call_next: Next) -> Response:
    """Tell the client the request's id, and log what was asked and answered: no query, no body."""
    request_id = request_id_of(request)
    started_s = time.monotonic()
    response = await call_next(request)
    response.headers[REQUEST_ID] = request_id
    took_ms = (time.monotonic() - started_s) * 1000
    log.debug(
        "%s %s %s: %d in %.0f ms",
        request_id,
        request.method,
        request.url.path,
        response.status_code,
        took_ms,
    )
    return response
