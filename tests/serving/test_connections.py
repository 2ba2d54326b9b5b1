"""HTTP/1.1 on the wire of a running server: keep-alive, pipelining, limits, garbage."""

import select
import socket

import pytest

from tests.serving.conftest import Client, Servers

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"


def test_one_connection_serves_many_requests(client: Client) -> None:
    for _ in range(20):
        reply = client.ask("GET", "/v2/health/live")
        assert reply.status == 200
        assert "connection" not in reply.headers


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    paths = [b"/v2/health/live", b"/nope", b"/v2", b"/v2/models/digits/ready"] * 25
    client.send(b"".join(b"GET %s HTTP/1.1\r\n\r\n" % path for path in paths))
    seen = [client.read().body for _ in paths]
    assert seen == seen[:4] * 25
    assert [b"live" in seen[0], b"nothing at this path" in seen[1], b"extensions" in seen[2]] == [True] * 3


def test_a_client_that_sends_without_reading_is_read_no_further(client: Client) -> None:
    data, sent = LIVE * 100_000, 0
    client.socket.setblocking(False)
    while sent < len(data) and select.select([], [client.socket], [], 0.3)[1]:
        sent += client.socket.send(data[sent : sent + 65536])
    assert sent < len(data) / 2, "the server reads on and keeps the answers in memory"
    client.socket.settimeout(10)
    whole, rest = divmod(sent, len(LIVE))
    for _ in range(whole):
        assert client.read().status == 200
    client.send(LIVE[rest:])
    assert client.read().status == 200


def test_expect_continue(client: Client) -> None:
    client.send(b"POST /score HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert client.read().status == 100
    client.send(b"{}")
    assert client.read().status == 400
    client.send(LIVE + b"POST /score HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}" + LIVE)
    assert [client.read().status for _ in range(3)] == [200, 400, 200]  # no 100: the body was there


def test_head_has_a_length_and_no_body(client: Client) -> None:
    reply = client.ask("HEAD", "/v2")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) > 0
    assert client.ask("GET", "/v2").status == 200


@pytest.mark.parametrize(
    "line", [b"GET /v2 HTTP/1.0\r\n\r\n", b"GET /v2 HTTP/1.1\r\nConnection: close\r\n\r\n"]
)
def test_the_server_closes_when_asked(client: Client, line: bytes) -> None:
    client.send(line)
    reply = client.read()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert client.at_end()


def test_http_1_0_can_keep_alive(client: Client) -> None:
    for _ in range(2):
        client.send(b"GET /v2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert client.read().headers["connection"] == "keep-alive"


def test_a_client_that_says_the_end_still_gets_its_answer(client: Client) -> None:
    client.send(LIVE)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.read().status == 200
    assert client.at_end()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60, 400),
        (b"GET /v2\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /v2 HTTP/2.0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
        (b"POST /score HTTP/1.1\r\nContent-Length: 100001\r\n\r\n", 413),
        (b"POST /score HTTP/1.1\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n", 413),
        (b"POST /score HTTP/1.1\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", 417),
        (b"POST /score HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n", 415),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 404),
    ],
)
def test_what_is_refused_is_answered_and_closed(client: Client, data: bytes, status: int) -> None:
    client.send(LIVE + data)
    assert client.read().status == 200
    reply = client.read()
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    assert reply.headers["content-type"] == "application/problem+json"
    assert client.at_end()


def test_a_client_that_sends_all_of_a_large_body_reads_why_not(client: Client) -> None:
    body = b"x" * 5_000_000
    client.send(b"POST /score HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert client.read().status == 413


def test_a_request_that_is_never_finished_is_given_up(servers: Servers) -> None:
    server = servers.start(
        servers.listen("tcp"), None, HEADLAND_SCRIPT=script(servers), HEADLAND_REQUEST_TIMEOUT_S="0.2"
    )
    idle, half = servers.connect(server), servers.connect(server)
    assert idle.ask("GET", "/v2").status == 200
    half.send(LIVE[:-4])
    assert half.read().status == 408
    assert half.at_end()
    assert idle.ask("GET", "/v2").status == 200  # idle is not unfinished


def script(servers: Servers) -> str:
    path = servers.folder / "score.py"
    path.write_text("def init(): pass\ndef run(raw_data): return raw_data\n")
    return str(path)
