"""What files really are: good models are described, hostile ones refused before anything loads them."""

import dataclasses
import gzip
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from cloud_hub.confinement.limits import MIB
from cloud_hub.errors import ModelRefusedError
from cloud_hub.models.inspection.inspect import BY_CODE, Description, inspect
from cloud_hub.models.inspection.limits import InspectionLimits
from cloud_hub.models.inspection.onnx_scan import INNER
from cloud_hub.models.inspection.pickles import is_pickle
from tests.inspection import samples
from tests.inspection.samples import CANARY, PICKLES, as_bytes, model


@pytest.fixture(autouse=True)
def no_canary() -> Iterator[None]:
    """Nothing of what is looked at may ever run."""
    CANARY.unlink(missing_ok=True)
    yield
    assert not CANARY.exists()


def look(folder: Path, data: bytes, name: str = "model.onnx", *, allow_pickle: bool = False) -> Description:
    path = folder / "upload"
    path.write_bytes(data)
    return inspect(path, where="m", name=name, allow_pickle=allow_pickle)


def refusal(folder: Path, data: bytes, name: str = "model.onnx") -> str:
    with pytest.raises(ModelRefusedError) as caught:
        look(folder, data, name)
    assert caught.value.where == "m"
    assert caught.value.fix
    return caught.value.code


def test_an_onnx_model_is_described(tmp_path: Path) -> None:
    found = look(tmp_path, as_bytes(model(domain="com.example")), "scale.onnx")
    assert (found.framework, found.main, found.pickled) == ("onnx", "scale.onnx", False)
    assert found.signature == {
        "inputs": [{"name": "x", "type": "FLOAT", "shape": ["n", 2]}],
        "outputs": [{"name": "y", "type": "FLOAT", "shape": ["n", 2]}],
        "opset": 17,
        "ir_version": 8,
        "producer": "test 1",
        # What is long is left out: some exporters hide files there.
        "metadata": {"author": "ana"},
        "operators": ["com.example::Mul"],
        "domains": {"": 17, "com.example": 1},
        "custom_domains": ["com.example"],
    }


def test_a_model_larger_than_the_child_s_memory_is_described(tmp_path: Path) -> None:
    """Memory is by structure, not by size: weights of 400 MiB in a child of 256 MiB."""
    path = tmp_path / "upload"
    path.write_bytes(as_bytes(model(count=100 * MIB)))
    small = dataclasses.replace(InspectionLimits(), memory_bytes=256 * MIB)
    found = inspect(path, where="m", name="m.onnx", limits=small)
    assert found.signature["inputs"][0]["shape"] == ["n", 100 * MIB]
    assert found.size_bytes > 400 * MIB


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("called", ["model.onnx", "model.npz", "data"])
def test_a_pickle_is_refused_whatever_it_is_called(name: str, called: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, PICKLES[name], called) == "model-is-pickle"


@pytest.mark.parametrize("name", ["protocol 0", "protocol 4", "torch", "joblib, compressed"])
def test_a_pickle_that_is_allowed_is_marked_and_not_loaded(name: str, tmp_path: Path) -> None:
    found = look(tmp_path, PICKLES[name], "model.pkl", allow_pickle=True)
    assert found.pickled
    assert found.framework in {"pickle", "pytorch"}


def test_the_traps_are_real(tmp_path: Path) -> None:
    """Negative control: who loads them finds the canary."""
    for data in (PICKLES["protocol 0"], PICKLES["protocol 4"]):
        pickle.loads(data)
        assert CANARY.exists()
        CANARY.unlink()
    np.load(io.BytesIO(PICKLES["npy of objects"]), allow_pickle=True)
    assert CANARY.exists()
    CANARY.unlink()


def test_random_weights_are_no_pickles() -> None:
    random = np.random.default_rng(1)
    found = [is_pickle(random.bytes(64 * 1024), 64 * 1024) for _ in range(500)]
    assert not any(found)


@pytest.mark.parametrize(
    "words", ["Iris setosa,Iris virginica", "cat,dog,bird", "cat,dog,Rabbit", "iris,setosa", "N,.", "(,i,a"]
)
def test_labels_are_no_pickles(words: str) -> None:
    text = words.replace(",", "\n").encode() + b"\n"
    assert not is_pickle(text, len(text))


HOSTILE: dict[str, tuple[str, bytes]] = {
    "empty": ("not-onnx", b""),
    "text": ("not-onnx", b"hello"),
    "zeros": ("not-onnx", bytes(100)),
    "cut off": ("not-onnx", as_bytes(model())[:-20]),
    "no graph": ("not-onnx", as_bytes(onnx.ModelProto())),
    "zip": ("model-is-archive", samples.zipped(a=b"hello")),
    "zip of a zip": ("model-is-archive", samples.zipped(a=samples.zipped(b=b"hello"))),
    "zip in npz": ("model-is-archive", samples.zipped(
        a__npy=samples.npy(objects=False), b__npy=samples.zipped(c=b""))),
    "zip bomb as npz": ("model-too-complex", samples.zipped(a__npy=bytes(64 * MIB))),
    "zip with a way out": ("model-is-archive", samples.zipped(**{"../a__npy": b"hello"})),
    "zip cut off": ("model-damaged", samples.zipped(a=b"hello")[:-8]),
    "gzip": ("model-is-archive", gzip.compress(b"hello")),
    "tensor of 2 GiB": ("not-onnx", samples.claiming(1 << 29)),
    "tensor of 64 TiB": ("model-too-complex", samples.claiming(1 << 44)),
    "tensor beyond numbers": ("model-too-complex", samples.claiming(*[1 << 62] * 8)),
    "tensor of less than nothing": ("not-onnx", samples.claiming(-1)),
    "tensor of no type": ("not-onnx", samples.claiming(2, kind=99)),
    "tensor of fewer bytes": ("not-onnx", samples.claiming(1)),
    "deep": ("model-too-complex", samples.nested(500)),
    "many parts": ("model-too-complex", samples.many_empty_nodes(2_100_000)),
    "length beyond the end": ("not-onnx", b"\x08\x08\x3a\xff\xff\xff\xff\x0f"),
    "endless number": ("not-onnx", b"\x08" + b"\xff" * 40),
    "safetensors header": ("model-too-complex", b"\xff\xff\xff\xff\x00\x00\x00\x00{" + bytes(100)),
    "safetensors cut off": ("model-damaged", samples.safetensors()[:-1]),
    "safetensors overlap": ("model-damaged", samples.safetensors(
        {"a": {"data_offsets": [0, 8]}, "b": {"data_offsets": [4, 8]}})),
    "safetensors outside": ("model-damaged", samples.safetensors({"a": {"data_offsets": [0, 1 << 40]}})),
    "safetensors deep": ("model-damaged", b"\x40\x0d\x03\x00\x00\x00\x00\x00" + b'{"a":' * 40_000),
    "npy header": ("model-damaged", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f"),
    "npy deep": ("model-damaged", b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 8192),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused(name: str, tmp_path: Path) -> None:
    code, data = HOSTILE[name]
    assert refusal(tmp_path, data) == code


KNOWN: dict[str, tuple[str, str, bytes]] = {
    "safetensors": ("safetensors", "w.safetensors", samples.safetensors()),
    "tflite": ("tflite", "m.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(40)),
    "gguf": ("gguf", "m.gguf", b"GGUF" + bytes(40)),
    "keras-h5": ("keras", "m.h5", b"\x89HDF\r\n\x1a\n" + bytes(40)),
    "keras": ("keras", "m.keras", samples.zipped(config__json=b"{}", metadata__json=b"{}")),
    "npy": ("numpy", "a.npy", samples.npy(objects=False)),
    "npz": ("numpy", "a.npz", samples.zipped(a__npy=samples.npy(objects=False))),
    "lightgbm": ("lightgbm", "m.txt", b"tree\nversion=v4\n"),
    "xgboost": ("xgboost", "m.json", b'{"learner":{}}'),
    "saved-model": ("tensorflow", "saved_model.pb", b"\x08\x01\x12\x00"),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_other_frameworks_are_named(kind: str, tmp_path: Path) -> None:
    framework, name, data = KNOWN[kind]
    found = look(tmp_path, data, name)
    assert (found.framework, found.files[0].kind, found.signature) == (framework, kind, {})


def test_what_nobody_knows_is_refused_alone_and_kept_in_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path, b"hello", "notes.txt") == "model-kind-unknown"
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "notes.txt").write_bytes(b"hello")
    assert inspect(folder, where="m").framework == "custom"


def test_a_pickle_in_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(as_bytes(model()))
    (folder / "scaler").write_bytes(PICKLES["protocol 4"])
    with pytest.raises(ModelRefusedError) as caught:
        inspect(folder, where="m")
    assert (caught.value.code, caught.value.where) == ("model-is-pickle", "m/scaler")
    assert inspect(folder, where="m", allow_pickle=True).pickled


@pytest.mark.parametrize("limit", ["cpu_s", "memory_bytes", "max_structure_bytes", "max_fields"])
def test_each_limit_is_what_stops_it(limit: str, tmp_path: Path) -> None:
    """Negative control: the same model passes with the limits as they are."""
    path = tmp_path / "upload"
    path.write_bytes(as_bytes(model()))
    assert inspect(path, where="m", name="m.onnx").framework == "onnx"
    tight = {"cpu_s": 0, "memory_bytes": 48 * MIB, "max_structure_bytes": 100, "max_fields": 5}[limit]
    with pytest.raises(ModelRefusedError) as caught:
        inspect(path, where="m", name="m.onnx", limits=InspectionLimits(**{limit: tight}))
    # A library that cannot even be loaded is told by its own error.
    assert caught.value.code in {"model-too-complex"} | (
        {"model-refused"} if limit == "memory_bytes" else set()
    )


def leads_to_tensor(message: Any, seen: frozenset[str] = frozenset()) -> bool:
    if message.name == "TensorProto":
        return True
    if message.name in seen:
        return False
    inner = [each.message_type for each in message.fields if each.message_type is not None]
    return any(leads_to_tensor(each, seen | {message.name}) for each in inner)


def missing(table: dict[str, dict[int, str]]) -> set[str]:
    """Return every field on a way to a tensor that ``table`` does not follow."""
    waiting: list[Any] = [onnx.ModelProto.DESCRIPTOR]
    found, seen = set[str](), set[str]()
    while waiting:
        message = waiting.pop()
        if message.name in seen or message.name == "TensorProto":
            continue
        seen.add(message.name)
        for each in message.fields:
            if each.message_type is None or not leads_to_tensor(each.message_type):
                continue
            waiting.append(each.message_type)
            if table.get(message.name, {}).get(each.number) != each.message_type.name:
                found.add(f"{message.name}.{each.name}")
    return found


def test_every_way_to_a_tensor_is_followed() -> None:
    assert missing(INNER) == set()
    less = {**INNER, "FunctionProto": {11: "AttributeProto"}}
    assert missing(less) == {"FunctionProto.node"}


def test_every_refusal_says_what_to_do() -> None:
    def below(kind: type[ModelRefusedError]) -> set[type[ModelRefusedError]]:
        return {kind}.union(*(below(sub) for sub in kind.__subclasses__()))

    assert {kind.code for kind in below(ModelRefusedError)} == set(BY_CODE)
