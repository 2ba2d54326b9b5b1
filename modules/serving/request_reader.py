"""Bytes of one connection to whole HTTP/1.1 requests, within limits. No I/O.

httptools (llhttp) does the parsing and refuses ambiguous framing; it sets no limits, so they are here.
"""

from typing import Final

import httptools

from modules.serving.errors import (
    BodyTooLargeError,
    ContentCodingError,
    ExpectationError,
    HeadTooLargeError,
    MalformedRequestError,
    RequestError,
)

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
_FRAMING: Final = frozenset({b"expect", b"content-length", b"content-encoding", b"transfer-encoding"})


class Request:
    """One request: whole once ``RequestReader.feed`` has returned it."""

    __slots__ = (
        "body",
        "expect",
        "framing",
        "head_bytes",
        "headers",
        "keep_alive",
        "method",
        "target",
        "version",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.version = "1.1"
        self.keep_alive = True
        self.body = b""
        self.expect = False
        self.framing: list[bytes] = []
        self.head_bytes = 0
        self.headers = 0


class RequestReader:
    """Turns fed bytes into requests. After a ``refusal`` or a last request, it reads nothing more.

    The methods ``on_...`` are called by httptools. They never raise: what is wrong is kept as the
    refusal, so that requests that came before it are answered first.
    """

    def __init__(self, body_limit_bytes: int) -> None:
        self.refusal: RequestError | None = None
        self._body_limit_bytes = body_limit_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._current: Request | None = None
        self._head_done = False
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self._whole: list[Request] = []
        self._silent_bytes = 0
        self._last_seen = False

    @property
    def partial(self) -> bool:
        """Whether a request has begun and is not whole."""
        return self._current is not None

    def take_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body; true once."""
        current = self._current
        due = current is not None and self._head_done and current.expect and not self._body_bytes
        if due and current is not None:
            current.expect = False
        return due

    def feed(self, data: bytes) -> list[Request]:
        """Return the requests that ``data`` made whole, in order; see ``refusal`` afterwards."""
        # An endless header, trailer or chunk extension calls nothing back: count what goes in.
        self._silent_bytes += len(data)
        while data and not self._stopped:
            try:
                self._parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                data = b""
                if not self._stopped:
                    self._refuse(MalformedRequestError("the bytes are not an HTTP/1.1 request"))
        if self._silent_bytes > MAX_HEAD_BYTES and not self._stopped:
            self._refuse_head()
        whole, self._whole = self._whole, []
        return whole

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._stopped:
            self._current = Request()
            self._head_done = False
            self._chunks = []
            self._body_bytes = 0

    def on_url(self, part: bytes) -> None:
        """Another part of the request target."""
        if self._current is not None:
            self._current.target += part
            self._count_head(self._current, len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One whole header, or trailer."""
        request = self._current
        if request is None:
            return
        request.headers += 1
        self._count_head(request, len(name) + len(value))
        if self._head_done:
            return
        # Lengths first: this runs for each header of each request.
        if len(name) in (6, 14, 16, 17) and name.lower() in _FRAMING:
            self._read_framing(request, name.lower(), value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        request = self._current
        if request is not None:
            self._head_done = True
            self._silent_bytes = 0
            request.method = self._parser.get_method().decode("latin-1")
            request.version = self._parser.get_http_version()
            request.expect = request.expect and request.version == "1.1"
            if request.version not in ("1.0", "1.1"):
                self._refuse(MalformedRequestError("the request is not of HTTP/1.1 or HTTP/1.0"))

    def on_body(self, part: bytes) -> None:
        """Another part of the body."""
        if self._current is None:
            return
        self._silent_bytes = 0
        self._body_bytes += len(part)
        self._chunks.append(part)
        if self._body_bytes > self._body_limit_bytes:
            self._refuse_body()

    def on_message_complete(self) -> None:
        """The request is whole."""
        request = self._current
        if request is None:
            return
        request.keep_alive = self._parser.should_keep_alive()
        if request.method == "CONNECT":
            request.keep_alive = False
        elif self._parser.should_upgrade():
            return  # its body is still to be read
        self._silent_bytes = 0
        request.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._last_seen = not request.keep_alive
        self._whole.append(request)
        self._current = None
        self._chunks = []

    @property
    def _stopped(self) -> bool:
        return self._last_seen or self.refusal is not None

    def _read_framing(self, request: Request, name: bytes, value: bytes) -> None:
        request.framing.append(name + b": " + value + b"\r\n")
        if name == b"expect":
            request.expect = value.strip().lower() == b"100-continue"
            if not request.expect:
                self._refuse(ExpectationError("only Expect: 100-continue is understood", where="Expect"))
        elif name == b"content-length":
            if value.strip().isdigit() and int(value) > self._body_limit_bytes:
                self._refuse_body()
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            self._refuse(
                ContentCodingError("the body is compressed", where="Content-Encoding", fix="Send it plain.")
            )

    def _without_upgrade(self) -> bytes:
        """Return the head that was read, without the wish for another protocol, for a new parser.

        RFC 9110, section 7.8 lets a server ignore the wish; clients that would like HTTP/2 send it with
        any request. httptools leaves such a request's body unread, to be taken for the next request.
        """
        self._parser = httptools.HttpRequestParser(self)
        request = self._current
        if request is None:
            return b""
        line = f"{request.method} ".encode() + request.target + f" HTTP/{request.version}\r\n".encode()
        last = b"" if request.keep_alive else b"Connection: close\r\n"
        return line + b"".join(request.framing) + last + b"\r\n"

    def _count_head(self, request: Request, size_bytes: int) -> None:
        request.head_bytes += size_bytes
        if request.head_bytes > MAX_HEAD_BYTES or request.headers > MAX_HEADERS:
            self._refuse_head()

    def _refuse_head(self) -> None:
        fix = f"Send at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers."
        self._refuse(HeadTooLargeError("the request's head is too large", fix=fix))

    def _refuse_body(self) -> None:
        fix = f"Send at most {self._body_limit_bytes} bytes, or raise HEADLAND_BODY_LIMIT_BYTES."
        self._refuse(BodyTooLargeError("the body is too large", where="body", fix=fix))

    def _refuse(self, refusal: RequestError) -> None:
        if self.refusal is None:
            self.refusal = refusal
        self._current = None
        self._chunks = []
