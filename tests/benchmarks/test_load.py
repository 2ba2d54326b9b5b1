"""The load generator against a real server over TLS, also one that answers something else."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.load import Call, length_of, put_under_load
from cloud_hub.pki.authority import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"


class Counting:
    """Answers every request of 200 with `OK`, and remembers what it was sent."""

    def __init__(self, folder: Path) -> None:
        (folder / "pki").mkdir()
        pki = Authority.create(folder / "pki")
        key, certificate = pki.issue_server(["localhost"])
        (folder / "both.pem").write_bytes(key + certificate)
        self.ca = folder / "pki" / "ca.pem"
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "both.pem")
        self.heads: list[bytes] = []
        self.port = 0
        self.ready = threading.Event()
        self.done = asyncio.Event()

    async def serve(self) -> None:
        """Serve until `done` is set."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self.loop = asyncio.get_running_loop()
        self.ready.set()
        async with server:
            await self.done.wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Counting]:
    counting = Counting(tmp_path)
    thread = threading.Thread(target=lambda: asyncio.run(counting.serve()))
    thread.start()
    counting.ready.wait(30)
    yield counting
    counting.loop.call_soon_threadsafe(counting.done.set)
    thread.join()


def test_every_answer_is_counted_once(server: Counting) -> None:
    call = Call("GET", "/one")
    load = put_under_load(
        f"https://localhost:{server.port}", server.ca, "secret", call, connections=2, seconds=0.2, warm_up_s=0
    )
    assert len(load.latencies_s) == len(server.heads) > 0
    assert load.latencies_s == sorted(load.latencies_s)
    assert {head.split(b"\r\n")[0] for head in server.heads} == {b"GET /one HTTP/1.1"}
    assert b"Authorization: Bearer secret\r\n" in server.heads[0]


def test_another_status_is_an_error(server: Counting) -> None:
    call = Call("GET", "/one", status=204)
    with pytest.raises(RuntimeError, match="another answer than 204"):
        put_under_load(
            f"https://localhost:{server.port}", server.ca, "", call, connections=1, seconds=5, warm_up_s=0
        )


def test_a_length_is_read_from_a_head_in_any_case() -> None:
    assert length_of(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n", 200) == 12
    assert length_of(b"HTTP/1.1 204 No Content\r\nX-Content-Length: 9\r\n\r\n", 204) == 0


def test_a_body_is_announced() -> None:
    wire = Call("POST", "/two", b"{}").wire("localhost:1", "t")
    assert wire.endswith(b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
