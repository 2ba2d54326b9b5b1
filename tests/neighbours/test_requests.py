"""The one form of a request, and all others."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.neighbours.requests import Ask, read_ask

DIGEST = f"sha256:{'ab' * 32}"
GOOD = f"GET /v2/shop/digits/blobs/{DIGEST} HTTP/1.1"


def head(line: str, *fields: str) -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1")


def test_the_form() -> None:
    assert read_ask(head(GOOD)) == Ask(True, False, DIGEST)
    assert read_ask(head(GOOD, "Host: cam-1:7443", "range: bytes=7-")) == Ask(True, False, DIGEST, 7)
    assert read_ask(head(GOOD, "Range:bytes=7-9")) == Ask(True, False, DIGEST, 7, 9)
    line = GOOD.replace("GET", "HEAD").replace("blobs", "manifests")
    assert read_ask(head(line)) == Ask(False, True, DIGEST)


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1", "GET /v2/ HTTP/1.1", "GET /v2/_catalog HTTP/1.1", "",
        "GET /v2/shop/digits/tags/list HTTP/1.1", f"GET /v2/shop/digits/referrers/{DIGEST} HTTP/1.1",
        "GET /v2/shop/digits/manifests/latest HTTP/1.1", GOOD.replace("GET", "POST"),
        GOOD.replace("GET", "get"), GOOD.replace(DIGEST, DIGEST[:-1]),
        GOOD.replace("shop", ".."), GOOD.replace("shop", "a//b"), GOOD.replace("shop", "%2e%2e"),
        GOOD.replace("/v2/", "/v2//"), GOOD.replace(DIGEST, f"{DIGEST}/../x"),
        GOOD.replace(DIGEST, DIGEST.upper()), GOOD.replace(DIGEST, "sha256:../../../identity/key.pem"),
        GOOD.replace(DIGEST, f"{DIGEST}?x"), GOOD.replace("GET /v2", "GET http://other/v2"), GOOD + " ",
        GOOD.replace("shop", "a" * 600), GOOD.replace("HTTP/1.1", "HTTP/2.0"),
    ],
)  # fmt: skip
def test_other_paths_and_methods_are_not_there(line: str) -> None:
    assert read_ask(head(line)) is HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: 5"], ["Transfer-Encoding: chunked"], ["Expect: 100-continue"], ["Upgrade: h2c"],
        [": x"], ["x"], [" folded: x"], ["Range : bytes=0-"], ["Range: bytes=-5"], ["Range: bytes=0-1,3-4"],
        ["Range: bytes=0-", "Range: bytes=1-"], ["Range: bytes=x-"], [f"Range: bytes={'9' * 30}-"],
        ["X: \x00"[:3] + "\xe9"],
    ],
)  # fmt: skip
def test_fields_that_mean_more_are_refused(fields: list[str]) -> None:
    assert read_ask(head(GOOD, *fields)) is HTTPStatus.BAD_REQUEST


@given(st.binary(max_size=600))
def test_whatever_comes_it_is_an_answer(data: bytes) -> None:
    assert isinstance(read_ask(data + b"\r\n\r\n"), HTTPStatus)


@given(st.integers(0, 50), st.integers(0, 60), st.none() | st.integers(0, 60))
def test_windows_are_those_of_slices(size: int, first: int, last: int | None) -> None:
    whole = list(range(size))
    window = Ask(True, False, DIGEST, first, last).window(size)
    there = whole[first : size if last is None else last + 1]
    assert (list(window) if window else []) == there
