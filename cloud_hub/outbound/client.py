"""`Outbound`: requests to addresses that people give."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin

import httpcore

from cloud_hub.outbound.addresses import Address
from cloud_hub.outbound.connection import Deadline, PinnedBackend
from cloud_hub.outbound.errors import OutboundFailedError, OutboundRefusedError, OutboundTooLargeError
from cloud_hub.outbound.policy import PORTS, Allowed, Target, judge, target_of
from cloud_hub.outbound.ports import Dialer, Resolver, SystemDialer, SystemResolver

REDIRECTS = {301, 302, 303, 307, 308}
OURS = {"host", "authorization", "proxy-authorization", "cookie", "connection", "transfer-encoding",
        "content-length", "accept-encoding"}  # fmt: skip
FAILURES = (
    httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError,
    httpcore.UnsupportedProtocol, ssl.SSLError, OSError,
)  # fmt: skip


@dataclass(frozen=True)
class OutboundLimits:
    """Bounds of one request, all its hops together: seconds for all of it and for a connection; bytes.

    ``idle_s`` bounds each wait for the other side; None: only ``total_s`` does.
    """

    total_s: float = 30.0
    connect_s: float = 10.0
    max_answer_bytes: int = 1024**2
    idle_s: float | None = None


@dataclass(frozen=True)
class Credential:
    """Headers with secrets, and the one origin that may see them (as `Target.origin` writes it)."""

    origin: str
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, url: str, **headers: str) -> "Credential":
        """Return the credential for the origin of ``url``."""
        return cls(target_of(url).origin, headers)


@dataclass(frozen=True)
class Reply:
    """An answer. ``headers`` have names in lower case; ``body`` is empty where a sink took it."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """Return the first value of a header, or nothing."""
        return next((value for key, value in self.headers if key == name.lower()), "")


@dataclass(frozen=True)
class Opened:
    """An answer whose body is still to come: ``chunks`` yields it once, within the limits.

    It raises `OutboundFailedError` where the body ends early, `OutboundTooLargeError`.
    """

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: Iterator[bytes] = field(repr=False)

    def header(self, name: str) -> str:
        """Return the first value of a header, or nothing."""
        return next((value for key, value in self.headers if key == name.lower()), "")

    def all_of(self, name: str) -> list[str]:
        """Return every value of a header, in order."""
        return [value for key, value in self.headers if key == name.lower()]


class Outbound:
    """Safe to use from several threads; each request has a connection of its own. It blocks."""

    def __init__(
        self,
        allowed: tuple[Allowed, ...] = (),
        *,
        resolver: Resolver | None = None,
        dialer: Dialer | None = None,
        tls: ssl.SSLContext | None = None,
        limits: OutboundLimits | None = None,
    ) -> None:
        self._allowed = allowed
        self._resolver = resolver or SystemResolver()
        self._dialer = dialer or SystemDialer()
        self._tls = tls or ssl.create_default_context()
        self._limits = limits or OutboundLimits()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] = b"",
        credential: Credential | None = None,
        follow: int = 0,
        sink: Callable[[bytes], object] | None = None,
    ) -> Reply:
        """Send one request and return the answer, whatever its status.

        ``follow``: how many redirects of a GET or HEAD are followed; else a redirect is the answer.
        ``sink`` gets the body as it comes. Raises `OutboundRefusedError` before anything is sent,
        `OutboundFailedError`, `OutboundTooLargeError`. ``ValueError``: a header that is not the caller's.
        """
        with self.open(
            method, url, headers=headers, body=body, credential=credential, follow=follow
        ) as opened:
            kept = bytearray()
            take = kept.extend if sink is None or opened.status in REDIRECTS else sink
            for chunk in opened.chunks:
                take(chunk)
            return Reply(opened.url, opened.status, opened.headers, bytes(kept))

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] = b"",
        body_bytes: int | None = None,
        credential: Credential | None = None,
        follow: int = 0,
        limits: OutboundLimits | None = None,
    ) -> Iterator[Opened]:
        """Send one request; its answer is open within the block. Arguments and errors are those of `send`.

        ``body_bytes`` is the length of a body that is an iterator, where it is known. ``limits`` stand
        in for this object's own.
        """
        if OURS & {name.lower() for name in headers or {}}:
            raise ValueError("this header is set by Outbound, or belongs into a credential")
        bounds = limits or self._limits
        ask = _Ask(
            method,
            headers or {},
            body,
            body_bytes,
            credential,
            bounds,
            Deadline(bounds.total_s, bounds.idle_s),
        )
        hop = 0
        while True:
            target = target_of(url)
            with self._once(ask, target, url) as opened:
                location = opened.header("location")
                if (
                    hop == follow
                    or method not in {"GET", "HEAD"}
                    or opened.status not in REDIRECTS
                    or not location
                ):
                    yield opened
                    return
            hop, url = hop + 1, urljoin(url, location)
            if target.scheme == "https" and target_of(url).scheme != "https":
                raise OutboundRefusedError("downgrade", "a redirect leads off https", where=target.origin)

    def check(self, url: str) -> None:
        """Raise `OutboundRefusedError` where ``send`` would; for an address that is being stored.

        No promise for later: the name may lead elsewhere by then, and ``send`` judges anew.
        """
        self._addresses(target_of(url))

    def _addresses(self, target: Target) -> tuple[Address, ...]:
        try:
            found = self._resolver.resolve(target.host, target.port)
        except (OSError, ValueError) as error:
            raise OutboundFailedError(
                "the name cannot be resolved", where=target.origin, fix="Check the name."
            ) from error
        verdict = judge(target, found, self._allowed)
        if verdict.rule:
            raise OutboundRefusedError(verdict.rule, verdict.what, where=target.origin)
        return verdict.addresses

    @contextmanager
    def _once(self, ask: "_Ask", target: Target, url: str) -> Iterator[Opened]:
        backend = PinnedBackend(target, self._addresses(target), self._dialer, ask.deadline)
        place = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        wait = {"connect": ask.limits.connect_s, "read": None, "write": None, "pool": None}
        with ExitStack() as closing:
            with _told(target):
                pool = closing.enter_context(
                    httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend)
                )
                answer = closing.enter_context(
                    pool.stream(
                        ask.method,
                        place,
                        headers=ask.headers_for(target),
                        content=ask.body,
                        extensions={"timeout": wait},
                    )
                )
            headers = tuple((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in answer.headers)
            coding = dict(headers).get("content-encoding", "identity")
            if coding.lower() != "identity":
                # Asked for none; what expands cannot be bounded by what arrives.
                raise OutboundFailedError(
                    "the answer is compressed", where=target.origin, fix="Turn that off."
                )
            yield Opened(url, answer.status, headers, _chunks(answer, target, ask.limits))


@contextmanager
def _told(target: Target) -> Iterator[None]:
    """Turn what the network raises into this room's errors."""
    try:
        yield
    except httpcore.LocalProtocolError as error:
        raise OutboundRefusedError("request", "the request cannot be written", where=target.origin) from error
    except FAILURES as error:
        raise OutboundFailedError(
            f"no answer ({type(error).__name__})", where=target.origin, fix="Check that it is up."
        ) from error


def _chunks(answer: httpcore.Response, target: Target, limits: OutboundLimits) -> Iterator[bytes]:
    size = 0
    with _told(target):
        for chunk in answer.iter_stream():
            size += len(chunk)
            if size > limits.max_answer_bytes:
                raise OutboundTooLargeError(
                    f"the answer has more than {limits.max_answer_bytes} bytes",
                    where=target.origin,
                    fix="Check the address.",
                )
            yield chunk


@dataclass(frozen=True)
class _Ask:
    """One request through all its hops."""

    method: str
    headers: Mapping[str, str]
    body: bytes | Iterator[bytes]
    body_bytes: int | None
    credential: Credential | None
    limits: OutboundLimits
    deadline: Deadline

    def headers_for(self, target: Target) -> list[tuple[bytes | str, bytes | str]]:
        """Return the headers for one hop; the credential's only where the hop has its origin."""
        host = target.origin.partition("://")[2]
        if target.port == PORTS[target.scheme]:
            host = host.rpartition(":")[0]
        made = {"Host": host, "Accept-Encoding": "identity", "Connection": "close", **self.headers}
        if self.body_bytes is not None:
            made["Content-Length"] = str(self.body_bytes)
        if self.credential is not None and self.credential.origin == target.origin:
            made |= self.credential.headers
        return list(made.items())
