"""Starting: one clear line and exit code 2 where it cannot; nothing on the socket before the model."""

import signal
import socket
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from agent.endpoints.handover import Handover
from modules.serving.errors import ServingSettingsError
from modules.serving.settings import InheritedListener, TcpListener, UnixListener, read_settings
from tests.inspection.samples import external
from tests.serving.conftest import Servers, eventually, one_op, save_model

GOOD = {"LISTEN_FDS": "1", "AZUREML_MODEL_DIR": "/model"}


def test_settings_by_default() -> None:
    settings = read_settings(GOOD)
    assert settings.listen == InheritedListener(3)
    assert (settings.ort_threads, settings.body_limit_bytes) == (1, 16 * 1024 * 1024)
    assert (settings.drain_idle_s, settings.stop_grace_s) == (3, 10)
    assert (settings.agent_socket, settings.script, settings.telemetry_capacity) == (None, None, 100_000)


def test_where_to_listen() -> None:
    for said, meant in [
        ("unix:/run/a:b", UnixListener("/run/a:b")),
        ("tcp:127.0.0.1:80", TcpListener("127.0.0.1", 80)),
        ("tcp:[::1]:80", TcpListener("::1", 80)),
    ]:
        assert read_settings({"AZUREML_MODEL_DIR": "/m", "HEADLAND_LISTEN": said}).listen == meant
        assert read_settings({**GOOD, "HEADLAND_LISTEN": said}).listen == InheritedListener(3)
    assert read_settings({**GOOD, "LISTEN_FDS": "3"}).listen == InheritedListener(3, 3)


@pytest.mark.parametrize("said", ["", "unix:", "tcp:80", "tcp:a:b", "tcp:a:70000", "udp:a:1", "/path"])
def test_where_not_to_listen(said: str) -> None:
    with pytest.raises(ServingSettingsError, match="LISTEN_FDS"):
        read_settings({"AZUREML_MODEL_DIR": "/m", "HEADLAND_LISTEN": said})


def test_all_faults_are_told_at_once() -> None:
    wrong = {"LISTEN_FDS": "0", "HEADLAND_ORT_THREADS": "0", "HEADLAND_DRAIN_IDLE_S": "nan"}
    with pytest.raises(ServingSettingsError) as caught:
        read_settings(wrong)
    for name in (*wrong, "AZUREML_MODEL_DIR"):
        assert name in str(caught.value)


def test_models_that_cannot_be_served(servers: Servers, tmp_path: Path, digits: Path) -> None:
    two = save_model(tmp_path / "two", (digits / "model.onnx").read_bytes())
    (two / "sub").mkdir()
    (two / "sub" / "other.onnx").write_bytes(b"")
    garbage = save_model(tmp_path / "garbage", b"garbage")
    bfloat = one_op("Identity", [("x", TensorProto.BFLOAT16, [1])], [("y", TensorProto.BFLOAT16, [1])])
    (tmp_path / "none").mkdir()
    starts = {
        "2 *.onnx files": two,
        "0 *.onnx files": tmp_path / "none",
        "no such folder": tmp_path / "absent",
        "not a usable ONNX model": garbage,
        "tensor(bfloat16)": save_model(tmp_path / "bfloat", bfloat),
    }
    started = {words: servers.start(servers.listen(), folder, wait=False) for words, folder in starts.items()}
    for words, server in started.items():
        assert server.wait_exit() == 2
        assert words in server.log
        assert "[model-unusable]" in server.log
        assert server.log.count("\n") == 1


def test_a_model_with_its_weights_in_other_files_scores(servers: Servers, tmp_path: Path) -> None:
    """As a folder comes: capitals in the suffix, a folder that is called like a model, weights below."""
    folder = tmp_path / "folder"
    (folder / "weights").mkdir(parents=True)
    (folder / "old.onnx").mkdir()
    (folder / "old.onnx" / "notes.txt").write_text("none")
    (folder / "Net.ONNX").write_bytes(external("weights/w.bin", offset="8"))
    (folder / "weights" / "w.bin").write_bytes(bytes(8) + np.array([3, 5], np.float32).tobytes())
    client = servers.connect(servers.start(servers.listen(), folder))
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    answer = client.ask("POST", "/v2/models/digits/infer", body)
    assert (answer.status, answer.json["outputs"][0]["data"]) == (200, [3, 10])


@pytest.mark.parametrize("location", ["../w.bin", "{outside}/w.bin", "absent.bin"])
def test_weights_out_of_the_folder_are_not_loaded(servers: Servers, tmp_path: Path, location: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    folder = save_model(tmp_path / "folder", external(location.format(outside=tmp_path)))
    server = servers.start(servers.listen(), folder, wait=False)
    assert server.wait_exit() == 2
    assert "[model-unusable]" in server.log


def test_descriptor_3_that_is_no_listening_socket(servers: Servers, digits: Path) -> None:
    left, right = socket.socketpair()
    with left, right:
        connected = servers.start(left, digits, wait=False)
    absent = servers.start(None, digits, wait=False, LISTEN_FDS="1")
    for server, words in ((connected, "does not listen"), (absent, "no listening socket")):
        assert server.wait_exit() == 2
        assert words in server.log
        assert "[serving-settings]" in server.log


def test_run_by_hand(servers: Servers, digits: Path, tmp_path: Path) -> None:
    path = tmp_path / "hand"
    for _ in range(2):  # the second start finds the first one's socket file
        server = servers.start(None, digits, HEADLAND_LISTEN=f"unix:{path}")
        server.address = str(path)
        assert servers.connect(server).ask("GET", "/v2/health/ready").status == 200
        server.process.kill()
        server.wait_exit()


def test_a_listener_that_is_handed_over(servers: Servers, digits: Path, tmp_path: Path) -> None:
    """By the agent's own hand-over, with a second socket that this server has no use for."""
    path = tmp_path / "listener"
    with socket.socket(socket.AF_UNIX) as listener, socket.create_server(("127.0.0.1", 0)) as other:
        listener.bind(str(path))
        listener.listen()
        handing = Handover(tmp_path, {"socket": listener.fileno(), "web": other.fileno()})
        server = servers.start(None, digits, HEADLAND_LISTENERS=str(tmp_path / "socket"))
        handing.close()
    server.address = str(path)
    assert servers.connect(server).ask("GET", "/v2/health/ready").status == 200
    nobody = servers.start(None, digits, wait=False, HEADLAND_LISTENERS=str(tmp_path / "socket"))
    assert nobody.wait_exit() == 2
    assert "[serving-settings]" in nobody.log


def test_a_stop_while_the_model_loads(servers: Servers, tmp_path: Path) -> None:
    score = tmp_path / "score.py"
    score.write_text(
        "import sys, time\n"
        "def init():\n    print('loading', file=sys.stderr, flush=True)\n    time.sleep(60)\n"
        "def run(raw_data): pass\n"
    )
    server = servers.start(servers.listen(), tmp_path, wait=False, HEADLAND_SCRIPT=str(score))
    eventually(lambda: "loading" in server.log, "init() runs")
    client = servers.connect(server)  # waits in the backlog, for the next version
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    client.socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.socket.recv(1)
