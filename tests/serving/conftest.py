"""Real parts: server processes on a shared listening socket, ONNX models, and raw HTTP clients."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

DEADLINE_S = 15.0
# Puts the listeners at descriptors from 3 on, as runc does, and becomes the server.
LAUNCHER = (
    "import os,sys,fcntl; told=[int(n) for n in sys.argv[1].split(',')]; "
    "fds=[fcntl.fcntl(n,fcntl.F_DUPFD_CLOEXEC,100) for n in told]; [os.close(n) for n in told]; "
    "[os.dup2(fd,3+i,inheritable=True) for i,fd in enumerate(fds)]; os.execv(sys.argv[2],sys.argv[2:])"
)
Values = Sequence[tuple[str, int, Any]]
DATATYPES = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def eventually(check: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
    """Poll until ``check`` holds."""
    ends_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < ends_at, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection; raw bytes out, whole replies in."""

    def __init__(self, address: Any) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(address)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, *, head_only: bool = False) -> Reply:
        """Read one reply; http.client would read ahead of pipelined replies."""
        status_line = self._file.readline()
        if not status_line:
            raise ConnectionResetError("the server closed the connection without a reply")
        headers = {k.lower(): v for k, v in http.client.parse_headers(self._file).items()}
        length = 0 if head_only else int(headers.get("content-length", "0"))
        body = self._file.read(length)
        if len(body) != length:
            raise ConnectionResetError("the server closed the connection inside a reply")
        return Reply(int(status_line.split()[1]), headers, body)

    def at_end(self) -> bool:
        """Whether the server says nothing more (blocks until it says something or closes)."""
        return self._file.read(1) == b""

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Reply:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", "Host: module", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + data)
        return self.read(head_only=method == "HEAD")

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@dataclass
class Server:
    """A server process; ``log`` is its standard error so far."""

    process: "subprocess.Popen[bytes]"
    log_path: Path
    address: Any

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_serving(self) -> None:
        eventually(lambda: "serving: serving model" in self.log or self.process.poll() is not None, "serving")
        assert self.process.poll() is None, self.log

    def wait_exit(self, timeout_s: float = DEADLINE_S) -> int:
        return self.process.wait(timeout_s)


@dataclass
class Servers:
    """Starts servers and clients of one test, and ends what is left of them."""

    folder: Path
    _servers: list[Server] = field(default_factory=list)
    _clients: list[Client] = field(default_factory=list)
    _listeners: list[socket.socket] = field(default_factory=list)

    def listen(self, family: str = "unix") -> socket.socket:
        if family == "tcp":
            listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        else:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.folder / f"s{len(self._listeners)}"))
            listener.listen(256)
        self._listeners.append(listener)
        return listener

    def start(
        self,
        listener: socket.socket | None,
        model: Path | None,
        *,
        wait: bool = True,
        env: Mapping[str, str] | None = None,
        ports: Sequence[socket.socket] = (),
        **more: str,
    ) -> Server:
        command = [sys.executable, "-m", "modules.serving"]
        environ = {"PATH": os.environ["PATH"], "HEADLAND_MODEL_NAME": "digits", **(env or {}), **more}
        if model is not None:
            environ["AZUREML_MODEL_DIR"] = str(model)
        pass_fds: tuple[int, ...] = ()
        if listener is not None:
            pass_fds = (listener.fileno(), *(port.fileno() for port in ports))
            environ["LISTEN_FDS"] = str(len(pass_fds))
            numbers = ",".join(map(str, pass_fds))
            command = [sys.executable, "-S", "-E", "-c", LAUNCHER, numbers, *command]
        log_path = self.folder / f"log{len(self._servers)}"
        with log_path.open("wb") as log:
            process = subprocess.Popen(command, env=environ, stderr=log, pass_fds=pass_fds)
        server = Server(process, log_path, listener.getsockname() if listener else None)
        self._servers.append(server)
        if wait:
            server.wait_serving()
        return server

    def connect(self, server: Server) -> Client:
        client = Client(server.address)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for server in self._servers:
            if server.process.poll() is None:
                server.process.kill()
            server.process.wait()
        for listener in self._listeners:
            listener.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path)
    yield made
    made.close()


def save_model(folder: Path, model: bytes) -> Path:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model)
    return folder


def one_op(op: str, inputs: Values, outputs: Values, **attributes: Any) -> bytes:
    """An ONNX model of one node."""
    node = helper.make_node(op, [i[0] for i in inputs], [o[0] for o in outputs], **attributes)
    return build_model([node], inputs, outputs)


def build_model(nodes: list[onnx.NodeProto], inputs: Values, outputs: Values) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return serialise(model)


def serialise(model: Any) -> bytes:
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.float32]:
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().data, dtype=np.float32)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory, pixels: NDArray[np.float32]) -> Path:
    """A small forest on the digits, with the ZipMap that skl2onnx adds by default."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(10, max_depth=6, random_state=0).fit(pixels, load_digits().target)
    model = to_onnx(forest, pixels[:1])
    return save_model(tmp_path_factory.mktemp("models") / "digits", serialise(model))


@pytest.fixture(scope="session")
def every_datatype(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that hands back one input of each datatype, of any batch size N."""
    nodes = [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in DATATYPES]
    inputs = [(f"in_{name}", kind, ["N", 2]) for name, kind in DATATYPES.items()]
    outputs = [(f"out_{name}", kind, ["N", 2]) for name, kind in DATATYPES.items()]
    return save_model(tmp_path_factory.mktemp("models") / "every", build_model(nodes, inputs, outputs))


@pytest.fixture(scope="session")
def shared_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("shared"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def digits_server(shared_servers: Servers, digits: Path) -> Server:
    """One server for every test that leaves it as it was."""
    return shared_servers.start(shared_servers.listen(), digits, HEADLAND_BODY_LIMIT_BYTES="100000")


@pytest.fixture
def client(digits_server: Server) -> Iterator[Client]:
    made = Client(digits_server.address)
    yield made
    made.close()


def infer_body(rows: NDArray[np.float32], **more: Any) -> dict[str, Any]:
    tensor = {"name": "X", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    return {"inputs": [tensor], **more}
