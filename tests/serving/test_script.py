"""score.py as people have it from AzureML, in a running server and without onnxruntime."""

from pathlib import Path

import pytest

from tests.serving.conftest import Servers

SCRIPT = """
import json, os, sys
import numpy as np
import beside
model = None

def init():
    global model
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "weight.txt")) as file:
        model = float(file.read())

def run(raw_data):
    assert isinstance(raw_data, str)
    what = json.loads(raw_data)["data"]
    if what == "text":
        return json.dumps({"a": 1})
    if what == "modules":
        return sorted(name for name in sys.modules if name.startswith("onnxruntime"))
    if what == "unjsonable":
        return object()
    if what == "exit":
        sys.exit(3)
    return {"result": np.asarray(what) * model, "best": np.float32(1.5), "by": beside.NAME}
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "beside.py").write_text("NAME = 'beside'\n")
    (folder / "score.py").write_text(SCRIPT)
    (folder / "weight.txt").write_text("2.0")
    return folder / "score.py"


def test_the_contract_of_a_script(servers: Servers, script: Path) -> None:
    server = servers.start(servers.listen(), script.parent, HEADLAND_SCRIPT=str(script))
    client = servers.connect(server)
    scored = client.ask("POST", "/score", {"data": [1, 2]})
    assert scored.json == {"result": [2.0, 4.0], "best": 1.5, "by": "beside"}
    assert client.ask("POST", "/score", {"data": "text"}).json == '{"a": 1}'
    assert client.ask("POST", "/score", {"data": "modules"}).json == []
    for body, status, code in [
        (b"\xff", 400, "scoring-body-invalid"),
        (b"secret", 500, "scoring-model-failed"),
        ({"data": "unjsonable"}, 500, "scoring-model-failed"),
        ({"data": "exit"}, 500, "scoring-model-failed"),
    ]:
        reply = client.ask("POST", "/score", body)
        assert (reply.status, reply.json["code"]) == (status, code)
        assert b"secret" not in reply.body
    assert "JSONDecodeError" in server.log
    assert "secret" not in server.log
    assert client.ask("GET", "/v2/models/digits").json["platform"] == "python_script"
    assert client.ask("POST", "/v2/models/digits/infer", {}).json["code"] == "scoring-no-tensors"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def init(): raise RuntimeError('no weights')\ndef run(raw_data): pass", "no weights"),
        ("import sys\nsys.exit(1)", "SystemExit"),
        ("def run(raw_data): pass", "init()"),
        ("def init(:", "SyntaxError"),
        (None, "no such Python file"),
    ],
)
def test_a_script_that_cannot_start(servers: Servers, tmp_path: Path, source: str | None, words: str) -> None:
    path = tmp_path / "bad.py"
    if source is not None:
        path.write_text(source)
    server = servers.start(servers.listen(), tmp_path, wait=False, HEADLAND_SCRIPT=str(path))
    assert server.wait_exit() == 2
    assert server.log.count("\n") == 1
    assert words in server.log
    assert "[script-unusable]" in server.log
