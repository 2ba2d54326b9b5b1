"""Every route of a running server, and that its tensors are onnxruntime's own."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.serving.conftest import (
    DATATYPES,
    Client,
    Servers,
    build_model,
    infer_body,
    one_op,
    save_model,
)

Pixels = NDArray[np.float32]
INFER = "/v2/models/digits/infer"


def check_problem(reply: Any, status: int, code: str) -> None:
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["type"] == f"urn:headland:error:{code}"
    assert problem["detail"]
    assert problem["detail"] in problem["error"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2", {"name": "headland-serving", "version": "1", "extensions": []}),
        ("/v2/models/digits/ready", {"name": "digits", "ready": True}),
        ("/v2/models/digits/versions/1/ready", {"name": "digits", "ready": True}),
        ("/v2/models/digits?x=1", None),
        ("/v2/models/d%69gits", None),
        ("http://module/v2/models/digits", None),
        ("/v2/models/digits/versions/1", None),
    ],
)
def test_what_can_be_read(client: Client, path: str, expected: Any) -> None:
    reply = client.ask("GET", path)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == (
        expected
        or {
            "name": "digits",
            "versions": ["1"],
            "platform": "onnx_onnxv1",
            "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 64]}],
            "outputs": [
                {"name": "output_label", "datatype": "INT64", "shape": [-1]},
                {"name": "output_probability", "datatype": "FP32", "shape": [-1, -1]},
            ],
        }
    )


def test_infer_gives_what_onnxruntime_gives(client: Client, digits: Path, pixels: Pixels) -> None:
    session = ort.InferenceSession(str(digits / "model.onnx"), providers=["CPUExecutionProvider"])
    for rows in (pixels[:1], pixels[5:12], pixels[:0]):
        labels, maps = session.run(None, {"X": rows})
        for path in (INFER, "/v2/models/digits/versions/1/infer"):
            reply = client.ask("POST", path, infer_body(rows, id="a-1")).json
            label, probability = reply["outputs"]
            assert (reply["model_name"], reply["model_version"], reply["id"]) == ("digits", "1", "a-1")
            assert (label["datatype"], label["shape"]) == ("INT64", [len(rows)])
            assert label["data"] == labels.tolist()
            assert probability["datatype"] == "FP32"
            assert probability["data"] == [value for row in maps for value in row.values()]
            if len(rows):
                assert probability["shape"] == [len(rows), 10]
                assert probability["parameters"] == {"labels": list(range(10))}


def test_outputs_can_be_chosen_and_an_id_is_not_invented(client: Client, pixels: Pixels) -> None:
    body = infer_body(pixels[:2], outputs=[{"name": "output_probability"}])
    reply = client.ask("POST", INFER, body).json
    assert [output["name"] for output in reply["outputs"]] == ["output_probability"]
    assert "id" not in reply


def test_score_takes_rows_or_tensors(client: Client, pixels: Pixels) -> None:
    rows = client.ask("POST", "/score", {"data": pixels[:3].tolist()})
    tensors = client.ask("POST", "/score", infer_body(pixels[:3]))
    assert rows.status == 200
    assert rows.json == tensors.json
    assert rows.json["result"] == rows.json["outputs"]["output_label"]
    assert np.shape(rows.json["outputs"]["output_probability"]) == (3, 10)


X = {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "scoring-body-invalid"),
        (b"{", "scoring-body-invalid"),
        (b"\xff\xfe", "scoring-body-invalid"),
        (b'{"inputs":' + b"[" * 20_000, "scoring-body-invalid"),
        ({}, "scoring-body-invalid"),
        ([], "scoring-body-invalid"),
        ({"inputs": [], "id": 7}, "scoring-body-invalid"),
        ({"inputs": [X], "id": "a" * 257}, "scoring-body-invalid"),
        ({"inputs": [{**X, "shape": [1, -64]}]}, "scoring-body-invalid"),
        ({"inputs": [{"name": "X", "shape": [1, 64], "datatype": "FP32"}]}, "scoring-body-invalid"),
        ({"inputs": []}, "scoring-tensor-invalid"),
        ({"inputs": [X, X]}, "scoring-tensor-invalid"),
        ({"inputs": [{**X, "name": "Y"}]}, "scoring-tensor-invalid"),
        ({"inputs": [{**X, "shape": [64]}]}, "scoring-tensor-invalid"),
        ({"inputs": [{**X, "shape": [1, 63], "data": [0.5] * 63}]}, "scoring-tensor-invalid"),
        ({"inputs": [{**X, "shape": [2, 64]}]}, "scoring-tensor-invalid"),
        ({"inputs": [{**X, "datatype": "FP64"}]}, "scoring-tensor-invalid"),
        ({"inputs": [{**X, "datatype": "secret"}]}, "scoring-tensor-invalid"),
        ({"inputs": [{**X, "data": ["secret"] * 64}]}, "scoring-tensor-invalid"),
        ({"inputs": [X], "outputs": [{"name": "secret"}]}, "scoring-tensor-invalid"),
    ],
)
def test_a_wrong_body_is_a_400_that_does_not_repeat_it(client: Client, body: Any, code: str) -> None:
    reply = client.ask("POST", INFER, body)
    check_problem(reply, 400, code)
    assert b"secret" not in reply.body
    assert client.ask("GET", "/v2/health/live").status == 200  # the connection goes on


@pytest.mark.parametrize(
    "data", [None, 1, "a", [0.5] * 64, [[0.5] * 63], [[0.5] * 64, [0.5]], [[[0.5] * 64]]]
)
def test_wrong_rows_are_a_400(client: Client, data: Any) -> None:
    check_problem(client.ask("POST", "/score", {"data": data}), 400, "scoring-tensor-invalid")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "scoring-route-unknown"),
        ("GET", "/v2/models/other", 404, "scoring-model-unknown"),
        ("POST", "/v2/models/digits/versions/2/infer", 404, "scoring-model-unknown"),
        ("GET", "/score", 405, "scoring-method"),
        ("POST", "/v2", 405, "scoring-method"),
        ("OPTIONS", "*", 404, "scoring-route-unknown"),
    ],
)
def test_unknown_paths_and_methods(client: Client, method: str, path: str, status: int, code: str) -> None:
    reply = client.ask(method, path)
    check_problem(reply, status, code)
    assert reply.headers.get("allow") == {"/score": "POST", "/v2": "GET, HEAD"}.get(path)


def test_every_datatype_goes_through_a_model_unchanged(servers: Servers, every_datatype: Path) -> None:
    client = servers.connect(servers.start(servers.listen(), every_datatype))
    values: dict[str, list[Any]] = {name: [0, 1, 2, 3] for name in DATATYPES}
    values |= {name: [0.5, -1.25, 0.0, 2.0] for name in ("FP16", "FP32", "FP64")}
    values |= {"BOOL": [True, False, False, True], "BYTES": ["a", "", "é\0", "'\""]}
    values |= {"INT64": [-(2**63), 2**63 - 1, 0, 1], "UINT64": [2**64 - 1, 0, 1, 2]}
    tensors = [
        {"name": f"in_{name}", "shape": [2, 2], "datatype": name, "data": data}
        for name, data in values.items()
    ]
    reply = client.ask("POST", INFER, {"inputs": tensors})
    assert reply.status == 200, reply.body
    assert {output["datatype"]: output["data"] for output in reply.json["outputs"]} == values
    tensors[0] = {"name": "in_BOOL", "shape": [1, 2], "datatype": "BOOL", "data": [True, False]}
    check_problem(
        client.ask("POST", INFER, {"inputs": tensors}), 400, "scoring-tensor-invalid"
    )  # N is 1 and 2
    check_problem(client.ask("POST", "/score", {"data": [[1, 2]]}), 400, "scoring-tensor-invalid")


def test_what_only_the_model_can_refuse(servers: Servers, tmp_path: Path) -> None:
    """An index out of range is the client's fault; a node that cannot run is the model's failure."""
    nodes = [
        helper.make_node("Constant", [], ["table"], value_floats=[1.0, 2.0]),
        helper.make_node("Gather", ["table", "at"], ["y"]),
        helper.make_node("Reshape", ["y", "to"], ["z"]),
    ]
    inputs = [("at", TensorProto.INT64, ["N"]), ("to", TensorProto.INT64, ["M"])]
    model = build_model(nodes, inputs, [("z", TensorProto.FLOAT, None)])
    server = servers.start(servers.listen(), save_model(tmp_path / "gather", model))
    client = servers.connect(server)

    def ask(at: list[int], to: list[int]) -> Any:
        tensors = [
            {"name": "at", "shape": [len(at)], "datatype": "INT64", "data": at},
            {"name": "to", "shape": [len(to)], "datatype": "INT64", "data": to},
        ]
        return client.ask("POST", INFER, {"inputs": tensors})

    assert ask([1, 0], [2, 1]).json["outputs"][0] == {
        "name": "z",
        "shape": [2, 1],
        "datatype": "FP32",
        "data": [2.0, 1.0],
    }
    refused, failed = ask([70707], [1]), ask([1, 0], [80808])
    check_problem(refused, 400, "scoring-input-refused")
    check_problem(failed, 500, "scoring-model-failed")
    for number in (b"70707", b"80808"):
        assert number not in refused.body + failed.body + server.log.encode()
    assert "failed on a request" in server.log


def test_nan_and_infinity_of_a_model_are_null(servers: Servers, tmp_path: Path) -> None:
    model = one_op("Log", [("x", TensorProto.FLOAT, ["N"])], [("y", TensorProto.FLOAT, ["N"])])
    client = servers.connect(servers.start(servers.listen(), save_model(tmp_path / "log", model)))
    reply = client.ask("POST", "/score", {"data": [1.0, 0.0, -1.0]})
    assert reply.json["result"] == [0.0, None, None]
