"""The sockets of a device: nobody is refused when the agent starts anew, and hand-overs are durable."""

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.endpoints.listeners import EndpointError, Listeners, bind
from agent.endpoints.module_api import MAX_BODY_BYTES, MAX_SAMPLE_BYTES, Hooks, ModuleApi
from agent.endpoints.unix_client import UnixHttpConnection
from agent.outbox.policy import Policies, StreamPolicy
from agent.outbox.sqlite import SqliteOutbox
from contract.agent_api import Handover
from contract.encoding import decode, encode
from contract.errors import Problem


def accept_all(listener: socket.socket, answers: list[str], name: str, stop: threading.Event) -> None:
    listener.settimeout(0.02)
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            if stop.is_set():
                return  # like a draining module: its queue is empty
            continue
        with connection:
            answers.append(name)
            connection.sendall(name.encode())


def test_a_listener_that_is_renamed_over_another_refuses_nobody(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    answers: list[str] = []
    refused: list[OSError] = []
    stop_clients = threading.Event()
    asked = [0]

    def client() -> None:
        while not stop_clients.is_set():
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(5)
                    connection.connect(str(path))
                    assert connection.recv(10)
                    asked[0] += 1
            except OSError as error:
                refused.append(error)

    threads: list[threading.Thread] = []
    clients = threading.Thread(target=client)
    listeners: list[socket.socket] = []
    stops: list[threading.Event] = []
    for generation in range(20):
        listener, stop = bind(path), threading.Event()
        threads.append(threading.Thread(target=accept_all, args=(listener, answers, str(generation), stop)))
        threads[-1].start()
        listeners.append(listener)
        if generation == 0:
            clients.start()
        while answers.count(str(generation)) < 10 and not refused:
            pass
        for old in stops:
            old.set()
        stops.append(stop)
    stop_clients.set()
    clients.join()
    for stop in stops:
        stop.set()
    for thread, listener in zip(threads, listeners, strict=True):
        thread.join()
        listener.close()
    assert refused == []
    assert asked[0] == len(answers) >= 200


def test_negative_control_unlinking_before_binding_refuses(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    with bind(path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as connection, pytest.raises(FileNotFoundError):
            connection.connect(str(path))


def test_a_path_that_is_too_long_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="107 bytes"):
        bind(tmp_path / ("x" * 120))


def test_a_dropped_module_has_no_socket(tmp_path: Path) -> None:
    listeners = Listeners(tmp_path / "run")
    name, listener = listeners.get("m")
    assert listeners.get("m") == (name, listener)
    assert not listeners.path("m").exists()
    listeners.publish("m", name)
    assert listeners.path("m").is_socket()
    listeners.drop("m")
    assert list((tmp_path / "run").iterdir()) == []


def reaches(listeners: Listeners, listener: socket.socket) -> bool:
    """Does a client of module m come to ``listener``?"""
    listener.settimeout(0.2)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(listeners.path("m")))
        try:
            listener.accept()[0].close()
        except TimeoutError:
            return False
        return True


def test_clients_reach_what_is_published_through_restarts_of_the_agent(tmp_path: Path) -> None:
    """A second life tries a version and is killed; the third finds it ready, and leads clients to it."""
    lives = [Listeners(tmp_path / "run") for _ in range(3)]
    (first, serving), (second, trial) = lives[0].get("m"), lives[1].get("m")
    lives[0].publish("m", first)
    assert reaches(lives[1], serving)
    assert not reaches(lives[1], trial)
    lives[2].publish("m", second)
    assert lives[2].published("m") == second
    assert reaches(lives[2], trial)
    lives[2].sweep("m", [second])
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"m.sock", second}
    for life in lives:
        life.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[UnixHttpConnection, SqliteOutbox, list[str]]]:
    outbox, ready = SqliteOutbox(tmp_path / "o.db", max_bytes=1 << 20), list[str]()
    served = ModuleApi(
        "c-1",
        tmp_path / "a.sock",
        Hooks(outbox=outbox, ready=ready.append, defer=lambda _c, s: s / 2, stored=lambda: None),
    )
    connection = UnixHttpConnection(tmp_path / "a.sock")
    yield connection, outbox, ready
    connection.close()
    served.close()
    outbox.close()


def post(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", path, body)
    response = connection.getresponse()
    return response.status, response.read()


def handover(number: int = 1, *bodies: bytes, producer: str = "p") -> bytes:
    raws = tuple(msgspec.Raw(body) for body in (bodies or (b"1",)))
    return encode(Handover(producer=producer, number=number, sampled_at_us=(5,) * len(raws), bodies=raws))


Api = tuple[UnixHttpConnection, SqliteOutbox, list[str]]


def test_a_hand_over_is_in_the_outbox_when_it_is_answered(api: Api) -> None:
    connection, outbox, _ = api
    assert post(connection, "/v1/telemetry/s", handover()) == (200, b'{"stored":1}')
    assert outbox.report().pending == 1
    assert post(connection, "/v1/telemetry/s", handover()) == (200, b'{"stored":0}')
    assert outbox.report().pending == 1


def test_a_full_outbox_is_told_with_507_and_the_same_hand_over_is_taken_later(tmp_path: Path) -> None:
    policies = Policies(streams={"s": StreamPolicy(on_full="refuse")})
    outbox = SqliteOutbox(tmp_path / "o.db", max_bytes=100, policies=policies)
    hooks = Hooks(outbox=outbox, ready=lambda _: None, defer=lambda _c, _s: 0.0, stored=lambda: None)
    served = ModuleApi("c-1", tmp_path / "a.sock", hooks)
    connection = UnixHttpConnection(tmp_path / "a.sock")
    assert post(connection, "/v1/telemetry/s", handover(1))[0] == 200
    status, answer = post(connection, "/v1/telemetry/s", handover(2))
    problem = decode(answer, Problem, what="problem")
    assert (status, problem.code, problem.retriable) == (507, "outbox-full", True)
    assert post(connection, "/v1/telemetry/other", handover(3, producer="q"))[0] == 200, (
        "the others are not concerned"
    )
    outbox.acknowledge("s", 1)
    outbox.acknowledge("other", 1)
    assert post(connection, "/v1/telemetry/s", handover(2)) == (200, b'{"stored":1}')
    connection.close()
    served.close()
    outbox.close()


def test_ready_says_which_container(api: Api) -> None:
    connection, _, ready = api
    assert post(connection, "/v1/ready", b"")[0] == 200
    assert ready == ["c-1"]


def test_a_module_puts_a_change_off_and_is_told_how_long(api: Api) -> None:
    connection, _, _ = api
    assert post(connection, "/v1/defer", b'{"seconds": 600}') == (200, b'{"seconds":300.0}')
    for body in (b'{"seconds": -1}', b'{"seconds": 1e300}', b'{"seconds": "x"}', b"", b"{}"):
        assert post(connection, "/v1/defer", body)[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/telemetry/s", b"not json", 400, b"contract-violation"),
        ("/v1/telemetry/s", b"{}", 400, b"contract-violation"),
        ("/v1/telemetry/../x", handover(), 400, b"invalid-name"),
        ("/v1/telemetry/UP", handover(), 400, b"invalid-name"),
        ("/v1/telemetry/s", handover(1, b'"' + b"x" * MAX_SAMPLE_BYTES + b'"'), 400, b"contract-violation"),
        ("/v1/nothing", b"", 404, b"not-found"),
        (
            "/v1/telemetry/s",
            b'{"producer":"p","number":1,"sampled_at_us":[],"bodies":[1]}',
            400,
            b"contract-violation",
        ),
    ],
)
def test_what_is_wrong_is_told_and_stores_nothing(
    api: Api, path: str, body: bytes, status: int, code: bytes
) -> None:
    connection, outbox, _ = api
    found, answer = post(connection, path, body)
    assert (found, code in answer) == (status, True)
    assert outbox.report().pending == 0
    assert post(connection, "/v1/telemetry/s", handover())[0] == 200


def test_a_body_that_is_too_large_is_not_read(api: Api) -> None:
    connection, _, _ = api
    connection.putrequest("POST", "/v1/telemetry/s")
    connection.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
