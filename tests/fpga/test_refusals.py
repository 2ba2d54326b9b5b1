"""What cannot become an emulation is refused in one error that names it; what can is converted."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cloud_hub.images.build.errors import BuildCancelledError, OptionRefusedError
from cloud_hub.images.build.options import own_platform
from cloud_hub.images.fpga.emulation import Inputs, make_fpga, require_own_platform
from cloud_hub.images.fpga.errors import (
    FpgaDataRefusedError,
    FpgaModelRefusedError,
    FpgaUnavailableError,
)
from cloud_hub.images.fpga.graph import OPERATORS, GraphRefusedError, prepare
from cloud_hub.images.fpga.options import FpgaOptions, checked
from tests.fpga.conftest import made_in
from tests.fpga.models import INPUTS, graph_of, perceptron

FOUR: dict[str, Any] = {"x": ["n", 4]}
Y4: dict[str, Any] = {"y": ["n", 4]}


def refusal(model: onnx.ModelProto) -> GraphRefusedError:
    with pytest.raises(GraphRefusedError) as caught:
        prepare(model)
    return caught.value


def test_an_operator_without_counterpart_is_named_with_its_node() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Sin", ["a"], ["y"], name="wave"),
    ]
    error = refusal(graph_of(nodes, {}, FOUR, Y4))
    assert "operator Sin" in error.what
    assert error.where == "operator Sin, node wave"
    assert "Gemm" in error.fix
    nodes[1].op_type = "Tanh"  # the control
    assert prepare(graph_of(nodes, {}, FOUR, Y4)).outputs[0].name == "y"


def test_a_node_without_a_name_is_named_by_its_output() -> None:
    error = refusal(graph_of([helper.make_node("Sin", ["x"], ["y"])], {}, FOUR, Y4))
    assert error.where == "operator Sin, node with output y"


def test_operators_of_another_domain_are_not_taken_for_onnx_ones() -> None:
    model = graph_of([helper.make_node("Relu", ["x"], ["y"], domain="com.example")], {}, FOUR, Y4)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    assert "Relu" in refusal(model).where


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"x": ["n", "features"]}, TensorProto.FLOAT, "fixed numbers"),
        ({"x": [4]}, TensorProto.FLOAT, "batch"),
        ({"x": ["n", 4]}, TensorProto.FLOAT16, "floats"),
    ],
)
def test_an_input_without_fixed_floats_is_refused(inputs: dict[str, Any], kind: int, words: str) -> None:
    assert words in refusal(graph_of([helper.make_node("Relu", ["x"], ["y"])], {}, inputs, Y4, kind)).what


def test_a_product_of_two_inputs_is_refused() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    error = refusal(graph_of(nodes, {}, {"x": ["n", 4], "w": [4, 4]}, Y4))
    assert error.where == "operator MatMul, node product"
    assert prepare(graph_of(nodes, {"w": np.eye(4)}, FOUR, Y4)).inputs[0].shape == (4,)


def test_gemm_is_folded_into_one_product_and_one_sum() -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=2.0, beta=0.5, transB=1)]
    weights = np.arange(8.0).reshape(2, 4)
    prepared = prepare(graph_of(nodes, {"w": weights, "b": np.array([4.0, 6.0])}, FOUR, {"y": ["n", 2]}))
    assert [node.op_type for node in prepared.model.graph.node] == ["MatMul", "Add"]
    kept = [onnx.numpy_helper.to_array(one) for one in prepared.model.graph.initializer]
    assert np.array_equal(kept[0], 2 * weights.T)
    assert np.array_equal(kept[1], [2.0, 3.0])


def test_a_refusal_of_the_model_is_a_build_error(tmp_path: Path) -> None:
    onnx.save_model(graph_of([helper.make_node("Sin", ["x"], ["y"])], {}, FOUR, Y4), tmp_path / "m.onnx")
    with pytest.raises(FpgaModelRefusedError, match="Sin") as caught:
        made_in(tmp_path / "work", tmp_path / "m.onnx")
    assert caught.value.code == "fpga-model-refused"
    assert caught.value.where == "operator Sin, node with output y"


def test_without_a_compiler_the_error_says_what_to_install(
    perceptron_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FpgaUnavailableError, match="C\\+\\+ compiler") as caught:
        made_in(tmp_path / "work", perceptron_file)
    assert "apt install g++" in caught.value.fix


def test_a_build_is_cancelled_while_the_compiler_runs(perceptron_file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(BuildCancelledError):
        make_fpga(
            perceptron_file,
            FpgaOptions(),
            inputs=Inputs(),
            work_dir=tmp_path,
            progress=lambda fraction, message: said.append(message),
            cancelled=lambda: any("compiling" in one for one in said),
        )
    assert not any("measuring" in one for one in said)


@pytest.mark.parametrize(
    "precision", ["ap_fixed<16>", "float", "ap_fixed<65,6>", "ap_fixed<16,6>; int x", "ap_fixed<0,0>", ""]
)
def test_a_type_that_is_none_is_refused(precision: str) -> None:
    with pytest.raises(OptionRefusedError, match="fixed-point"):
        checked(FpgaOptions(precision))


def test_types_with_rounding_and_spaces_are_taken() -> None:
    assert checked(FpgaOptions("ap_fixed<18, 8, AP_RND, AP_SAT>")).precision == "ap_fixed<18,8,AP_RND,AP_SAT>"
    assert checked(FpgaOptions("ap_ufixed<8,0>")).precision == "ap_ufixed<8,0>"
    with pytest.raises(OptionRefusedError):
        checked(FpgaOptions(reuse_factor=0))


def test_another_platform_is_refused() -> None:
    require_own_platform([own_platform()])
    with pytest.raises(OptionRefusedError, match="linux/other"):
        require_own_platform([own_platform(), "linux/other"])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((3, INPUTS + 1))}, "rows of shape"),
        ({"x": np.full((3, INPUTS), np.nan)}, "not finite"),
        ({"a": np.zeros((3, 4)), "b": np.zeros((3, 4))}, "no array for the input"),
        ({"x": np.zeros((0, INPUTS))}, "rows of shape"),
        ({"x": np.array([["a"] * INPUTS])}, "no numbers"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    parts: Any, perceptron_file: Path, tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    from tests.fpga.test_emulation import measured

    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(FpgaDataRefusedError, match=words):
        measured(parts, perceptron_file, Inputs(tmp_path / "data.npz"), tmp_path)


def test_a_pickle_is_no_data(parts: Any, perceptron_file: Path, tmp_path: Path) -> None:
    from tests.fpga.test_emulation import measured

    np.savez(tmp_path / "data.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FpgaDataRefusedError, match="plain arrays"):
        measured(parts, perceptron_file, Inputs(tmp_path / "data.npz"), tmp_path)


def test_preparing_leaves_the_model_as_it_is() -> None:
    model = perceptron()
    before = onnx.printer.to_text(model)
    prepare(model)
    assert onnx.printer.to_text(model) == before


def every_operator() -> onnx.ModelProto:
    """A model with each operator that is said to be converted."""
    generator = np.random.default_rng(11)
    constants = {
        "w": generator.normal(size=(8, 6)) / 3,
        "b": generator.normal(size=6) / 3,
        "v": generator.normal(size=(6, 6)) / 3,
        **{name: generator.uniform(0.5, 1.5, 6) for name in ("scale", "shift", "mean", "variance", "factor")},
    }
    one = helper.make_tensor("", TensorProto.FLOAT, [6], [0.25] * 6)
    nodes = [
        helper.make_node("Flatten", ["x"], ["x1"]),
        helper.make_node("Gemm", ["x1", "w", "b"], ["a0"]),
        helper.make_node("LeakyRelu", ["a0"], ["a1"], alpha=0.125),
        helper.make_node("MatMul", ["a1", "v"], ["a2"]),
        helper.make_node("BatchNormalization", ["a2", "scale", "shift", "mean", "variance"], ["a3"]),
        helper.make_node("Elu", ["a3"], ["a4"]),
        helper.make_node("Constant", [], ["quarter"], value=one),
        helper.make_node("Sub", ["a4", "quarter"], ["a5"]),
        helper.make_node("Mul", ["a5", "factor"], ["a6"]),
        helper.make_node("Tanh", ["a6"], ["a7"]),
        helper.make_node("Cast", ["a7"], ["a8"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["a8", "a1"], ["a9"]),
        helper.make_node(
            "Constant", [], ["rows"], value=helper.make_tensor("", TensorProto.INT64, [2], [-1, 6])
        ),
        helper.make_node("Reshape", ["a9", "rows"], ["a10"]),
        helper.make_node("Sigmoid", ["a10"], ["a11"]),
        helper.make_node("Dropout", ["a11"], ["a12"]),
        helper.make_node("Identity", ["a12"], ["a13"]),
        helper.make_node("Relu", ["a13"], ["a14"]),
        helper.make_node("Softmax", ["a14"], ["y"]),
    ]
    assert {node.op_type for node in nodes} == set(OPERATORS)
    return graph_of(nodes, constants, {"x": ["n", 2, 4]}, {"y": ["n", 6], "a7": ["n", 6]})


def test_every_operator_that_is_named_is_emulated(tmp_path: Path) -> None:
    onnx.save_model(every_operator(), tmp_path / "m.onnx")
    made = made_in(tmp_path / "work", tmp_path / "m.onnx", options=FpgaOptions("ap_fixed<20,8>"))
    found = {one.name: one for one in made.agreement.outputs}
    assert set(found) == {"y", "a7"}
    assert found["a7"].max_abs_difference < 0.05
    assert found["y"].max_abs_difference < 0.05
    assert found["a7"].float_max - found["a7"].float_min > 0.5  # or the bounds would say little
