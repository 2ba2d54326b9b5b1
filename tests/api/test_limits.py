"""Bodies and heads that are too large, too slow or not what they say, over TLS to a real server."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cloud_hub.api.app import create_app
from cloud_hub.api.bodies import BodyLimits
from cloud_hub.api.connection import HeadLimits
from cloud_hub.api.tls import TlsHttpProtocol
from cloud_hub.init import PKI
from contract.digests import sha256
from tests.api.hub import World, world

LIMITS = BodyLimits(max_bytes=100_000, grace_s=1.5, least_bytes_per_s=1_000_000)


class QuickProtocol(TlsHttpProtocol):
    """The hub's own, with short waits."""

    limits = HeadLimits(wait_s=1.5)


@dataclass(frozen=True)
class Served:
    """A running server."""

    world: World
    port: int

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.world.data_dir / PKI / "ca.pem"))
        raw = socket.create_connection(("127.0.0.1", self.port), 30)
        return context.wrap_socket(raw, server_hostname="localhost")

    def head(self, line: str, *headers: str) -> bytes:
        lines = [f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.world.owner}", *headers]
        return "\r\n".join([*lines, "", ""]).encode()

    def ask(self, line: str, *headers: str, body: bytes = b"") -> tuple[int, str]:
        """Send all of it at once; return the answer's status and code."""
        with self.connect() as sock:
            sock.sendall(self.head(line, *headers, "Connection: close") + body)
            return answer(sock)

    def post(self, body: bytes) -> tuple[int, str]:
        return self.ask(RUNS, f"Content-Length: {len(body)}", "Content-Type: application/json", body=body)


RUNS = "POST /api/v1/workspaces/shop/rollouts"


def answer(sock: ssl.SSLSocket) -> tuple[int, str]:
    """Read until the other side closes; return status and problem code, or 0 where nothing came."""
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except (ConnectionError, ssl.SSLError):
        pass
    return told(data)


def told(data: bytes) -> tuple[int, str]:
    """Return status and problem code of an answer; 0 where there is none."""
    head, _, body = data.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1]) if head else 0
    code = json.loads(body).get("code", "") if b"problem+json" in head else ""
    return status, code


def serve(app: FastAPI, at: World, protocol: type[HttpToolsProtocol]) -> Iterator[int]:
    pki = at.data_dir / PKI
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False,
        ssl_certfile=str(pki / "server.pem"), ssl_keyfile=str(pki / "server-key.pem"),
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with world(tmp_path_factory.mktemp("limits")) as at:
        for port in serve(create_app(at.services, LIMITS), at, QuickProtocol):
            yield Served(at, port)


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same without the protocol's bounds and with wide ones for bodies, for negative controls."""
    with world(tmp_path_factory.mktemp("unguarded")) as at:
        wide = BodyLimits(max_bytes=100_000_000, grace_s=600)
        for port in serve(create_app(at.services, wide), at, HttpToolsProtocol):
            yield Served(at, port)


def test_a_large_body_is_refused_by_what_it_says_and_by_what_it_is(served: Served) -> None:
    assert served.ask(RUNS, "Content-Length: 100001") == (413, "too-large")
    assert served.ask(RUNS, "Content-Length: 99999999999999999999999") in [(400, ""), (413, "too-large")]
    chunks = b"".join(b"4000\r\n" + bytes(0x4000) + b"\r\n" for _ in range(8)) + b"0\r\n\r\n"
    assert served.ask(RUNS, "Transfer-Encoding: chunked", body=chunks) == (413, "too-large")


def test_a_body_in_chunks_is_read(served: Served) -> None:
    body = json.dumps({"manifest": "a"}).encode()
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    headers = ("Transfer-Encoding: chunked", "Content-Type: application/json")
    assert served.ask(RUNS, *headers, body=chunk)[0] == 422


def test_a_body_of_that_size_passes_without_the_bound(unguarded: Served) -> None:
    """Negative control."""
    assert unguarded.post(b'{"manifest": "' + b"x" * 200_000 + b'"}')[1] == "manifest-invalid"


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: -1",),
        ("Content-Length: +5",),
        ("Content-Length: 0x10",),
        ("Content-Length: 1_0",),
        ("Content-Length: \u00b2",),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: gzip",),
        ("Bad Header: x",),
        ("X: a\x00b",),
    ],
)
def test_lengths_that_are_not_plain_are_refused(served: Served, headers: tuple[str, ...]) -> None:
    status, _ = served.ask(RUNS, *headers, body=b"hello\r\n\r\n")
    assert status in {0, 400}


def test_a_body_that_is_shorter_than_it_says_ends_in_time(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(served.head(RUNS, "Content-Length: 50") + b"{")
        assert answer(sock) == (408, "request-timeout")


def test_a_body_that_drips_ends_in_time(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(served.head(RUNS, "Content-Length: 90000"))
        assert drip(sock) == (408, "request-timeout")


def test_an_upload_that_drips_ends_in_time(served: Served) -> None:
    path = f"PUT /api/v1/workspaces/shop/blobs/{sha256(b'x')}"
    with served.connect() as sock:
        sock.sendall(served.head(path, "Content-Length: 90000"))
        assert drip(sock) == (408, "request-timeout")


def test_an_upload_in_chunks_of_any_size_is_taken(served: Served) -> None:
    data = bytes(500_000)
    path = f"PUT /api/v1/workspaces/shop/blobs/{sha256(data)}"
    assert served.ask(path, f"Content-Length: {len(data)}", body=data) == (201, "")
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
    # One by digest must say its length; one into a datastore need not.
    assert served.ask(path, "Transfer-Encoding: chunked", body=chunked) == (422, "invalid-input")
    into = "PUT /api/v1/workspaces/shop/datastores/default/files/x"
    assert served.ask(into, "Transfer-Encoding: chunked", body=chunked) == (201, "")
    large = bytes(1_100_000)
    path = f"PUT /api/v1/workspaces/shop/blobs/{sha256(large)}"
    assert served.ask(path, f"Content-Length: {len(large)}", body=large)[0] in {0, 413}


def test_only_uploads_may_be_large(served: Served) -> None:
    for line in (
        "PUT /api/v1/workspaces/shop/models/blobs/x",
        "POST /api/v1/workspaces/shop/blobs/x",
        "PUT /blobs/",
        "PUT /api/v1/workspaces/shop/blobs/x/y",
    ):
        assert served.ask(line, "Content-Length: 200000") == (413, "too-large")


def drip(sock: ssl.SSLSocket) -> tuple[int, str]:
    """Send byte for byte until the other side answers and closes; it must, within a minute."""
    sock.settimeout(0.1)
    data = b""
    for _ in range(600):
        try:
            sock.sendall(b"x")
            chunk = sock.recv(65536)
        except TimeoutError:
            continue
        except (ConnectionError, ssl.SSLError):
            break
        if not chunk:
            break
        data += chunk
    else:
        raise AssertionError("the connection is still there")
    return told(data)


def test_a_head_that_is_too_large_is_refused(served: Served) -> None:
    for headers in (["X: " + "a" * 100_000], [f"X{n}: a" for n in range(200)], ["X" * 100_000 + ": a"]):
        assert served.ask("GET /api/openapi.json", *headers)[0] in {0, 431}
    assert served.ask("GET /" + "a" * 100_000)[0] in {0, 431}
    assert served.ask("GET /api/openapi.json", "X: " + "a" * 30_000)[0] == 200


def test_a_head_without_end_is_cut_off(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000)
        assert answer(sock)[0] in {0, 431}


def test_such_heads_pass_without_the_bound(unguarded: Served) -> None:
    """Negative control: uvicorn's own protocol keeps whatever comes."""
    assert unguarded.ask("GET /api/openapi.json", "X: " + "a" * 1_000_000)[0] == 200
    assert unguarded.ask("GET /api/openapi.json", *[f"X{n}: a" for n in range(2000)])[0] == 200


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"\r\n\r\n"])
def test_a_head_that_never_comes_ends_the_connection(served: Served, begin: bytes) -> None:
    with served.connect() as sock:
        sock.sendall(begin)
        assert answer(sock)[0] in {0, 400}


def test_a_silent_connection_stays_without_the_bound(unguarded: Served) -> None:
    """Negative control: after more than twice the time, the connection still answers."""
    with unguarded.connect() as sock:
        sock.sendall(b"GET /api/openapi.json HTTP/1.1\r\n")
        time.sleep(3.5)
        sock.sendall(b"Host: localhost\r\nConnection: close\r\n\r\n")
        assert answer(sock)[0] == 200


def test_a_body_that_nobody_waits_for_ends_the_connection(served: Served) -> None:
    """Refused at its head; what drips in afterwards must not keep the connection for ever."""
    with served.connect() as sock:
        path = f"PUT /api/v1/workspaces/absent/blobs/{sha256(b'x')}"
        sock.sendall(served.head(path, "Content-Length: 90000"))
        assert drip(sock) == (404, "not-found")


JSONS = {
    "deep lists": b"[" * 90_000,
    "deep lists, closed": b"[" * 45_000 + b"]" * 45_000,
    "deep objects": b'{"a":' * 18_000,
    "deep below a field": b'{"manifest": ' + b"[" * 40_000 + b"]" * 40_000 + b"}",
    "long number": b'{"manifest": ' + b"9" * 90_000 + b"}",
    "number beyond floats": b'{"manifest": 1e999999}',
    "not a number": b'{"manifest": NaN}',
    "half a pair": b'{"manifest": "\\ud800"}',
    "key of half a pair": b'{"\\ud800": 1, "manifest": "a"}',
    "not UTF-8": b'{"manifest": "\xff"}',
    "UTF-16": '{"manifest": "a"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"manifest": "a"}',
    "zero byte": b'{"manifest": "\\u0000"}',
    "nothing": b"",
    "null": b"null",
    "many keys": b"{" + b",".join(b'"k%d":1' % n for n in range(9000)) + b"}",
    "key twice": b'{"manifest": "a", "manifest": "b"}',
}


@pytest.mark.parametrize("name", JSONS)
def test_hostile_json_is_the_client_s_fault(served: Served, name: str) -> None:
    status, code = served.post(JSONS[name])
    assert status in {400, 422}
    assert code


def test_the_hub_still_answers_after_all_that(served: Served) -> None:
    assert served.ask("GET /api/v1/workspaces/shop/rollouts") == (200, "")
