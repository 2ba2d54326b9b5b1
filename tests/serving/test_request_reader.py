"""Bytes to requests: the same at any split, bounded, and never an exception."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modules.serving.request_reader import MAX_HEAD_BYTES, MAX_HEADERS, RequestReader

STREAM = (
    b"POST /score HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    b"\r\nGET /v2?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"
    b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\nT: 1\r\n\r\n"
    b"POST /up HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi"
    b"GET /up HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n\r\n"
    b"POST /up HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\nx\r\n0\r\n\r\n"
    b"GET /end HTTP/1.1\r\nConnection: close\r\n\r\n"
)
REQUESTS = [
    ("POST", b"/score", b"abc", True),
    ("GET", b"/v2?x=1", b"", True),
    ("POST", b"/b", b"def", True),
    ("POST", b"/up", b"hi", True),
    ("GET", b"/up", b"", True),
    ("POST", b"/up", b"x", True),
    ("GET", b"/end", b"", False),
]


def read(parts: list[bytes], limit: int = 1000) -> tuple[list[tuple[str, bytes, bytes, bool]], RequestReader]:
    reader = RequestReader(limit)
    whole = [request for part in parts for request in reader.feed(part)]
    return [(r.method, r.target, r.body, r.keep_alive) for r in whole], reader


@settings(max_examples=150, deadline=None)
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
@example(cuts=list(range(len(STREAM))))
def test_any_split_gives_the_same_requests(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    requests, reader = read([STREAM[a:b] for a, b in pairwise(edges)])
    assert requests == REQUESTS
    assert reader.refusal is None
    assert not reader.partial


@settings(max_examples=200, deadline=None)
@given(junk=st.binary(max_size=80), at=st.integers(0, len(STREAM)))
def test_junk_is_a_refusal_or_a_request_never_an_exception(junk: bytes, at: int) -> None:
    _, reader = read([STREAM[:at], junk, STREAM[at:]])
    assert reader.refusal is None or 400 <= reader.refusal.status < 500
    assert reader.feed(STREAM) == [] or reader.refusal is None


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"A B: c\r\n",
        b" folded: x\r\n",
    ],
)
def test_ambiguous_framing_is_refused_after_what_came_before(head: bytes) -> None:
    good = b"GET /v2 HTTP/1.1\r\n\r\n"
    requests, reader = read([good + b"POST /score HTTP/1.1\r\n" + head + b"\r\nabc"])
    assert requests == [("GET", b"/v2", b"", True)]
    assert reader.refusal is not None
    assert reader.refusal.code == "http-malformed"


def endless(start: bytes) -> str:
    """Feed ``start`` and then one byte again and again; return the refusal's code."""
    reader = RequestReader(1000)
    reader.feed(start)
    fed = 0
    while reader.refusal is None:
        reader.feed(b"x" * 1000)
        fed += 1000
        assert fed < 10 * MAX_HEAD_BYTES, "nothing stops it"
    return reader.refusal.code


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nName: ",
        b"GET / HTTP/1.1\r\nName",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nTrailer: ",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;extension=",
    ],
)
def test_a_head_trailer_or_extension_without_end_is_refused(start: bytes) -> None:
    assert endless(start) == "http-head-too-large"


def test_limits_hold_at_their_edge() -> None:
    for count, refused in ((MAX_HEADERS, False), (MAX_HEADERS + 1, True)):
        _, reader = read([b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * count + b"\r\n"])
        assert (reader.refusal is not None) is refused
    for size, refused in ((1000, False), (1001, True)):
        _, reader = read([b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size, b"x" * size])
        assert (reader.refusal is not None) is refused
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
        _, reader = read([b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk])
        assert (reader.refusal is not None) is refused


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes() -> None:
    _, reader = read([b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n"])
    assert reader.refusal is not None
    assert reader.refusal.status == 413


def test_continue_is_due_once_and_only_for_a_body_that_waits() -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    _, waiting = read([head])
    assert waiting.take_continue()
    assert not waiting.take_continue()
    _, begun = read([head + b"a"])
    assert not begun.take_continue()
    _, old = read([head.replace(b"1.1", b"1.0")])
    assert not old.take_continue()
