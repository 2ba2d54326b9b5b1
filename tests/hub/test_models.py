"""The model registry: versions, lineage, and files that are not what they say."""

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.owners import uploads_of
from cloud_hub.blobs.service import OCTETS, Blobs
from cloud_hub.db.engine import Database
from cloud_hub.errors import ModelRefusedError, NotFoundError, NotOnnxError
from cloud_hub.experiments.service import Experiments
from cloud_hub.models.describe import describe
from cloud_hub.models.rows import ModelRow
from cloud_hub.models.search import Search, search
from cloud_hub.models.service import Models, NewModel
from tests.hub.acting import BY, audit


def onnx_model(scale: float = 2.0) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array([scale, scale], np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def as_bytes(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString())  # type: ignore[no-untyped-call]


@pytest.fixture
def blobs(database: Database, tmp_path: Path) -> Blobs:
    return Blobs(database, FolderStore(tmp_path / "objects"), tmp_path / "work")


@pytest.fixture
def models(database: Database, blobs: Blobs) -> Models:
    return Models(database, blobs, audit(database), most_bytes=1 << 20)


def upload(database: Database, blobs: Blobs, data: bytes, workspace: str = "shop") -> str:
    digest = blobs.save_bytes(data)
    with database.transaction() as session:
        blobs.link(session, uploads_of(workspace), digest, len(data), OCTETS)
    return digest


def register(models: Models, digest: str, workspace: str = "shop", run: str | None = None) -> ModelRow:
    return models.register(workspace, NewModel("scale", [("scale.onnx", digest)], run=run), BY)


def test_the_same_name_again_is_the_next_version(database: Database, blobs: Blobs, models: Models) -> None:
    digest = upload(database, blobs, as_bytes(onnx_model()))
    assert [register(models, digest).version for _ in range(3)] == [1, 2, 3]
    assert models.get("shop", "scale", None).version == 3
    assert models.get("shop", "scale", 2).version == 2
    with pytest.raises(NotFoundError):
        models.get("shop", "scale", 4)
    with pytest.raises(NotFoundError):
        models.get("lab", "scale", 1)


def test_the_signature_is_read_and_weights_are_no_inputs(
    database: Database, blobs: Blobs, models: Models
) -> None:
    row = register(models, upload(database, blobs, as_bytes(onnx_model())))
    assert row.signature["inputs"] == [{"name": "x", "type": "FLOAT", "shape": ["n", 2]}]
    assert row.signature["outputs"] == [{"name": "y", "type": "FLOAT", "shape": ["n", 2]}]
    assert row.signature["opset"] == 17


def test_lineage_is_kept_and_a_run_of_another_workspace_is_not_there(
    database: Database, blobs: Blobs, models: Models
) -> None:
    digest = upload(database, blobs, as_bytes(onnx_model()))
    experiments = Experiments(database, blobs)
    mine, foreign = experiments.start("shop", "e", "ana"), experiments.start("lab", "e", "bo")
    assert register(models, digest, run=mine.id).run == mine.id
    with pytest.raises(NotFoundError):
        register(models, digest, run=foreign.id)


def test_bytes_of_another_workspace_cannot_be_registered(
    database: Database, blobs: Blobs, models: Models
) -> None:
    digest = upload(database, blobs, as_bytes(onnx_model()), workspace="lab")
    with pytest.raises(NotFoundError):
        register(models, digest)


def external_data() -> bytes:
    model = onnx_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")  # type: ignore[no-untyped-call]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return as_bytes(model)


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, ("/tmp/headland-pickle-canary",))


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x00" * 100, b"PK\x03\x04" + b"0" * 50, pickle.dumps(_Trap()), external_data(),
     as_bytes(onnx_model())[:-20], as_bytes(onnx.ModelProto())],
    ids=["empty", "text", "zeros", "zip", "pickle", "external data", "cut off", "no graph"],
)  # fmt: skip
def test_what_is_no_self_contained_onnx_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelRefusedError) as caught:
        describe(tmp_path, ["x.onnx"], None)
    assert caught.value.where == "x.onnx"
    assert caught.value.fix
    assert not Path("/tmp/headland-pickle-canary").exists()


def test_a_refused_file_makes_no_version(database: Database, blobs: Blobs, models: Models) -> None:
    with pytest.raises(NotOnnxError):
        register(models, upload(database, blobs, b"hello"))
    assert search(database, "shop", Search(), limit=10, cursor=None).items == []
