"""Probes against real sockets and files."""

import http.server
import os
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.reconcile.probes import Asked, Probes, Question, Standing
from contract.lifecycle import Probe


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    status = 200
    hang = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/hang":
            self.server.hang.wait(10)
        self.send_response(self.server.status if self.path != "/missing" else 404)
        self.end_headers()

    def address_string(self) -> str:
        return ""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(path: Path) -> Iterator[Server]:
    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.hang.set()
            server.shutdown()
            thread.join()


def never(_args: tuple[str, ...], _timeout_s: float) -> bool:
    raise AssertionError("no program is asked for")


def by_program(_container: str, args: tuple[str, ...], _timeout_s: float) -> bool:
    return args == ("/bin/well",)


def asked(folder: Path, question: Question, **probe: object) -> Asked:
    return Asked(question, Probe(**probe), folder / "m.sock", folder)  # type: ignore[arg-type]


def test_an_answer_over_http_counts_by_its_status(tmp_path: Path) -> None:
    with serving(tmp_path / "m.sock") as server:
        for status, well in ((200, True), (204, True), (302, True), (404, False), (503, False)):
            server.status = status
            assert Standing(asked(tmp_path, "alive", http="/x"), 0).answers(never) is well
        assert not Standing(asked(tmp_path, "alive", http="/hang", timeout_s=0.1), 0).answers(never)
    assert not Standing(asked(tmp_path, "alive", http="/x"), 0).answers(never), "nobody listens"


def test_a_file_has_to_be_there_or_to_be_written_anew(tmp_path: Path) -> None:
    ready = Standing(asked(tmp_path, "ready", file="f"), 0)
    alive = Standing(asked(tmp_path, "alive", file="f"), 0)
    assert not ready.answers(never)
    assert not alive.answers(never)
    (tmp_path / "f").touch()
    assert (ready.answers(never), ready.answers(never)) == (True, True)
    assert (alive.answers(never), alive.answers(never)) == (True, False)
    # By whatever clock: this device's was just set back.
    os.utime(tmp_path / "f", (5.0, 5.0))
    assert (alive.answers(never), alive.answers(never)) == (True, False)
    (tmp_path / "f").unlink()
    assert not alive.answers(never)


def test_a_module_that_writes_its_file_lives_and_one_that_stops_does_not(
    told: tuple[Probes, list[str], threading.Event], tmp_path: Path
) -> None:
    probes, _, woken = told
    probes.watch({"c-1": asked(tmp_path, "alive", file="f", period_s=0.4, failures=3)})
    for _ in range(15):
        (tmp_path / "f").touch()
        time.sleep(0.1)
    assert not probes.unhealthy()
    assert woken.wait(10)
    assert probes.unhealthy() == {"c-1"}


@pytest.fixture
def told() -> Iterator[tuple[Probes, list[str], threading.Event]]:
    passed, woken = list[str](), threading.Event()
    probes = Probes(passed.append, woken.set, by_program, monotonic=time.monotonic)
    yield probes, passed, woken
    probes.close()


def test_so_many_failures_in_a_row_count_and_not_one_less(
    told: tuple[Probes, list[str], threading.Event], tmp_path: Path
) -> None:
    probes, passed, woken = told
    with serving(tmp_path / "m.sock") as server:
        probes.watch({"c-1": asked(tmp_path, "alive", http="/x", period_s=0.3, failures=3)})
        time.sleep(1)
        assert not probes.unhealthy()
        server.status = 500
        assert woken.wait(10)
    assert probes.unhealthy() == {"c-1"}
    assert passed == []
    probes.watch({})
    assert not probes.unhealthy(), "nobody is asked any more"


def test_a_container_passes_when_its_file_is_there(
    told: tuple[Probes, list[str], threading.Event], tmp_path: Path
) -> None:
    probes, passed, _ = told
    probes.watch({"c-1": asked(tmp_path, "ready", file="ready", period_s=0.1)})
    time.sleep(0.5)
    assert passed == []
    (tmp_path / "ready").touch()
    deadline = time.monotonic() + 10
    while not passed and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(passed) == {"c-1"}


def test_a_program_is_asked_with_its_time_and_its_end_counts(
    told: tuple[Probes, list[str], threading.Event], tmp_path: Path
) -> None:
    heard: list[tuple[tuple[str, ...], float]] = []

    def succeeds(args: tuple[str, ...], timeout_s: float) -> bool:
        heard.append((args, timeout_s))
        return True

    standing = Standing(asked(tmp_path, "alive", exec=("/bin/ask", "a b"), timeout_s=3.0), 0)
    assert standing.answers(succeeds)
    assert not standing.answers(lambda *_: False)
    assert heard == [(("/bin/ask", "a b"), 3.0)]
    probes, passed, woken = told
    probes.watch(
        {
            "well": asked(tmp_path, "ready", exec=("/bin/well",)),
            "ill": asked(tmp_path, "ready", exec=("/bin/ill",)),
            "dies": asked(tmp_path, "alive", exec=("/bin/ill",), period_s=0.1, failures=2),
        }
    )
    assert woken.wait(10)
    assert passed == ["well"]
    assert probes.unhealthy() == {"dies"}
