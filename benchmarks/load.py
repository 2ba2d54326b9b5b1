"""A load generator that costs little: raw HTTP/1.1 over TLS, one request in flight on each connection.

It reads no more of an answer than its status and length. `Load.client_share` says how busy it was itself:
near 1, the figures would be its own and not the server's.
"""

import asyncio
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from benchmarks.figures import percentile

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Call:
    """A request that is sent again and again; anything but ``status`` in an answer is an error."""

    method: str
    path: str
    body: bytes = b""
    status: int = 200

    def wire(self, host: str, token: str) -> bytes:
        """Return the request's bytes."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {token}"]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Load:
    """What a server did under load; latencies in seconds, sorted."""

    seconds: float
    latencies_s: list[float]
    client_share: float

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return len(self.latencies_s) / self.seconds

    def latency_ms(self, share: float) -> float:
        """Return a percentile of the latencies in milliseconds."""
        return percentile(self.latencies_s, share) * 1000


def put_under_load(
    url: str, ca: Path, token: str, call: Call, *, connections: int, seconds: float, warm_up_s: float = 0.3
) -> Load:
    """Send ``call`` over so many connections for a time; raises `RuntimeError` for another status."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_load(url, ca, token, call, connections, seconds, warm_up_s))


def length_of(head: bytes, status: int) -> int:
    """Return how many bytes follow a head; raises `RuntimeError` where it is not of ``status``."""
    if not head.startswith(b"HTTP/1.1 %d " % status):
        raise RuntimeError(f"another answer than {status}: {head[:40]!r}")
    found = LENGTH.search(head)
    return int(found[1]) if found else 0


async def _load(
    url: str, ca: Path, token: str, call: Call, connections: int, seconds: float, warm_up_s: float
) -> Load:
    parts = urlsplit(url)
    host, port = str(parts.hostname), int(parts.port or 443)
    tls = ssl.create_default_context(cafile=ca)
    request = call.wire(f"{host}:{port}", token)
    opened = [await asyncio.open_connection(host, port, ssl=tls) for _ in range(connections)]
    try:
        await _all(opened, request, call.status, warm_up_s)
        began_cpu_s, began_s = time.process_time(), time.perf_counter()
        latencies_s = await _all(opened, request, call.status, seconds)
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    finally:
        for _, writer in opened:
            writer.close()
        # The loop must not end before they are closed; how they end does not matter any more.
        await asyncio.gather(*(writer.wait_closed() for _, writer in opened), return_exceptions=True)
    return Load(took_s, sorted(latencies_s), cpu_s / took_s)


async def _all(
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
    request: bytes,
    status: int,
    seconds: float,
) -> list[float]:
    until_s = time.perf_counter() + seconds
    found = await asyncio.gather(
        *(_one(reader, writer, request, status, until_s) for reader, writer in opened)
    )
    return [latency_s for latencies_s in found for latency_s in latencies_s]


async def _one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, status: int, until_s: float
) -> list[float]:
    latencies_s: list[float] = []
    now_s = time.perf_counter()
    while now_s < until_s:
        writer.write(request)
        length = length_of(await reader.readuntil(b"\r\n\r\n"), status)
        if length:
            await reader.readexactly(length)
        answered_s = time.perf_counter()
        latencies_s.append(answered_s - now_s)
        now_s = answered_s
    return latencies_s
