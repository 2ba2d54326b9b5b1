"""One question over HTTPS, and its whole answer."""

import contextlib
import ssl
from urllib.parse import urlsplit

from agent.network.line import Network

TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 1 << 20


def ask(
    network: Network,
    base_url: str,
    context: ssl.SSLContext,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, bytes]:
    """Return status and body (1 MiB at the most) of what ``base_url`` answers; ``body`` is JSON.

    Raises `OSError` and `http.client.HTTPException`.
    """
    exchange = network.exchange(urlsplit(base_url), context, timeout_s)
    headers = exchange.headers | ({"Content-Type": "application/json"} if body else {})
    with contextlib.closing(exchange.connection) as connection:
        connection.request(method, f"{exchange.prefix}{path}", body, headers)
        response = connection.getresponse()
        return response.status, response.read(MAX_ANSWER_BYTES)
