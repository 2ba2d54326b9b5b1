"""Deltas between layers, applied again: what is found in them, and how small they are."""

import io
import random
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from cloud_hub.images.deltas.making import PATCH, TENSOR
from cloud_hub.images.deltas.tensors import tensors_in
from tests.deltas.layers import applied, delta_of, onnx_of, safetensors_of, tar_of, tuned, weights

NOISE = random.Random(5).randbytes(40 << 20)


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.float64])
def test_weights_that_moved_a_little_are_small(kind: Any) -> None:
    before = weights(1, kind)
    old = tar_of({"m/": b"", "m/model.onnx": onnx_of(before)})
    new = tar_of({"a": b"new file", "m/": b"", "m/model.onnx": onnx_of(tuned(before))})
    delta, made = delta_of(old, new)
    patch, mere = delta_of(old, new, with_tensors=False)
    assert applied(delta, old) == applied(patch, old) == new
    assert (made.kind, mere.kind) == (TENSOR, PATCH)
    assert len(delta) < 0.8 * len(patch)


def test_weights_that_did_not_change_cost_nothing() -> None:
    before = weights(1)
    after = before | {"a": tuned(before)["a"]}
    old, new = (tar_of({"m/model.onnx": onnx_of(each)}) for each in (before, after))
    delta, made = delta_of(old, new)
    assert applied(delta, old) == new
    assert made.copied_bytes > after["b"].nbytes
    assert made.tensor_bytes == after["a"].nbytes


def test_floats_in_their_own_field_safetensors_and_external_data() -> None:
    before = weights(1)
    after = tuned(before)
    for files in (
        lambda each: {"m.onnx": onnx_of(each, floats=True)},
        lambda each: {"m.safetensors": safetensors_of(each)},
        lambda each: {"m/m.onnx": external_model(each), "m/w.bin": each["a"].tobytes()},
    ):
        old, new = tar_of(files(before)), tar_of(files(after))
        delta, made = delta_of(old, new)
        assert applied(delta, old) == new
        assert made.tensor_bytes >= after["a"].nbytes


def external_model(each: dict[str, Any]) -> bytes:
    """Return a model whose weights lie in w.bin."""
    tensor = TensorProto(name="a", data_type=TensorProto.FLOAT, dims=each["a"].shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "w.bin"), ("offset", "0"), ("length", str(each["a"].nbytes))):
        tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph([], "g", [], [], [tensor])
    return bytes(helper.make_model(graph).SerializeToString())  # type: ignore[no-untyped-call]


def test_quantised_weights_are_no_larger_than_a_patch() -> None:
    random_ = np.random.default_rng(3)
    before = {"a": random_.integers(-127, 128, 200_000, np.int8)}
    moved = before["a"] + (random_.random(200_000) < 0.05).astype(np.int8)
    old, new = tar_of({"m.onnx": onnx_of(before)}), tar_of({"m.onnx": onnx_of({"a": moved})})
    delta, made = delta_of(old, new)
    assert applied(delta, old) == new
    assert made.kind == TENSOR
    assert len(delta) < len(delta_of(old, new, with_tensors=False)[0])


def test_a_retrained_tensor_of_another_shape_or_type_is_none_of_the_old() -> None:
    before = weights(1)
    for after in (before | {"a": before["a"].reshape(300, -1)}, {"a": before["a"].astype(np.float64)}):
        old, new = (tar_of({"m.onnx": onnx_of(each)}) for each in (before, after))
        delta, made = delta_of(old, new)
        assert applied(delta, old) == new
        assert made.tensor_bytes == 0


@pytest.mark.parametrize(
    "model", [b"", b"\xff" * 3000, b"\x3a\x05abc", b"\x08" * 700, onnx_of(weights(2))[:5000]]
)
def test_what_is_no_model_is_bytes(model: bytes) -> None:
    old = tar_of({"m.onnx": onnx_of(weights(1)), "m.safetensors": b"\xff" * 100})
    new = tar_of({"m.onnx": model, "m.safetensors": b"\x02\0\0\0\0\0\0\0[]"})
    assert applied(delta_of(old, new)[0], old) == new
    assert not delta_of(old, new)[1].tensor_bytes


def test_content_that_moved_far_is_found() -> None:
    """The old tar is larger than a window, and what was at its end stands at the start of the new one."""
    moved = NOISE[34 << 20 :]
    new = b"head" * 1000 + moved + b"tail"
    delta, _ = delta_of(NOISE, new)
    assert applied(delta, NOISE) == new
    assert len(delta) < len(new) // 100


def test_new_and_empty_layers() -> None:
    whole = tar_of({"m.onnx": onnx_of(weights(1))})
    for old, new in ((b"", whole), (whole, b""), (whole, whole), (b"", b"")):
        assert applied(delta_of(old, new)[0], old) == new
    assert len(delta_of(whole, whole)[0]) < 400


def test_tensors_are_where_they_are_said_to_be() -> None:
    model = weights(1)
    tar = tar_of({"x": b"1" * 700, "m.onnx": onnx_of(model)})
    found = {key[1]: extent for key, extent in tensors_in(io.BytesIO(tar)).items()}
    assert set(found) == {"a", "b"}
    for name, extent in found.items():
        assert tar[extent.at : extent.at + extent.size_bytes] == model[name].tobytes()
