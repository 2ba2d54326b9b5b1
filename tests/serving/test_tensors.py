"""JSON tensors to arrays and back: what fits comes back the same, what does not is refused."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modules.serving.errors import TensorInvalidError
from modules.serving.tensors import (
    DATATYPES,
    JsonTensor,
    TensorSpec,
    check_fit,
    read_data,
    read_tensor,
    stack_maps,
    write_data,
)

NUMERIC = [name for name in DATATYPES if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Any]:
    name = draw(st.sampled_from(NUMERIC))
    elements: Any = {"allow_nan": False, "allow_infinity": False} if name.startswith("FP") else None
    return name, draw(hnp.arrays(DATATYPES[name][0], draw(SHAPES), elements=elements))


def tensor_of(datatype: str, shape: Any, data: Any) -> JsonTensor:
    document = {"name": "x", "shape": list(shape), "datatype": datatype, "data": data}
    return msgspec.json.decode(json.dumps(document), type=JsonTensor)


def is_visibly_nested(array: Any) -> bool:
    """Whether nested JSON of the array still shows its shape (``[]`` of shape 0 x 3 does not)."""
    return bool(array.size) or array.ndim == 1


@settings(max_examples=150, deadline=None)
@given(case=arrays())
def test_flat_and_nested_data_come_back_bit_for_bit(case: tuple[str, Any]) -> None:
    datatype, array = case
    forms = [write_data(array)] + ([array.tolist()] if is_visibly_nested(array) else [])
    for form in forms:
        read = read_tensor(tensor_of(datatype, array.shape, form), where="x")
        assert read.dtype == array.dtype
        assert read.shape == array.shape
        assert read.tobytes() == array.tobytes() or np.array_equal(read, array)


@settings(max_examples=50, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6),
)
def test_texts_come_back(texts: list[str]) -> None:
    read = read_tensor(tensor_of("BYTES", [len(texts)], texts), where="x")
    assert write_data(read) == texts


JSON_VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    datatype=st.sampled_from([*DATATYPES, "FP8", ""]),
    shape=st.lists(st.integers(0, 5), max_size=4),
    data=JSON_VALUES,
)
def test_whatever_is_sent_fits_or_is_refused(datatype: str, shape: list[int], data: Any) -> None:
    try:
        read = read_tensor(tensor_of(datatype, shape, data), where="x")
    except TensorInvalidError:
        return
    assert list(read.shape) == shape
    assert read.dtype == DATATYPES[datatype][0]


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("INT8", [1], "[128]"),
        ("UINT8", [1], "[-1]"),
        ("INT64", [1], "[9223372036854775808]"),
        ("UINT64", [1], "[18446744073709551616]"),
        ("INT32", [1], "[1.5]"),
        ("FP16", [1], "[70000]"),
        ("FP32", [1], "[1e39]"),
        ("FP64", [1], "[1e999]"),
        ("FP32", [1], "[null]"),
        ("FP32", [1], '["1"]'),
        ("BOOL", [1], "[1]"),
        ("BYTES", [1], "[1]"),
        ("BYTES", [2, 2], '[["a"],["b","c"]]'),
        ("FP32", [2, 2], "[[1],[2,3]]"),
        ("FP32", [2, 2], "[[1,2,3,4]]"),
        ("FP32", [2], "[1]"),
        ("FP32", [1], "17.5"),
        ("FP32", [1], "[" * 40 + "]" * 40),
        ("FP32", [0, 2147483647, 2147483647, 2147483647], "[]"),
        ("FP32", [1] * 70, "[1]"),
        ("BF16", [1], "[1]"),
    ],
)
def test_what_does_not_fit_is_refused_without_repeating_it(
    datatype: str, shape: list[int], data: str
) -> None:
    document = f'{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}}}'
    tensor = msgspec.json.decode(document, type=JsonTensor)
    with pytest.raises(TensorInvalidError) as caught:
        read_tensor(tensor, where="inputs[0]")
    assert data not in str(caught.value)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(TensorInvalidError, match="UTF-8"):
        read_data("BYTES", b'["a\xff"]', where="x")


def test_fit_to_the_model_checks_datatype_sizes_and_symbols() -> None:
    spec = TensorSpec("x", "FP32", ("N", 2))
    symbols: dict[str, int] = {}
    check_fit(np.zeros((3, 2), np.float32), "FP32", spec, symbols, where="x")
    assert symbols == {"N": 3}
    wrong: list[tuple[Any, str]] = [
        (np.zeros((3, 2), np.float64), "FP64"),
        (np.zeros((3, 1), np.float32), "FP32"),
        (np.zeros((3, 2, 1), np.float32), "FP32"),
        (np.zeros((4, 2), np.float32), "FP32"),
    ]
    for array, datatype in wrong:
        with pytest.raises(TensorInvalidError):
            check_fit(array, datatype, spec, symbols, where="x")
    check_fit(np.zeros((9,), np.float32), "FP32", TensorSpec("x", "FP32", None), symbols, where="x")


def test_a_zipmap_becomes_a_tensor_with_labels() -> None:
    labels, array = stack_maps([{"a": 0.25, "b": 0.75}, {"a": 1.0, "b": 0.0}])
    assert labels == ["a", "b"]
    assert array.tolist() == [[0.25, 0.75], [1.0, 0.0]]
    assert stack_maps([])[1].shape == (0, 0)
    with pytest.raises(ValueError, match="labels"):
        stack_maps([{"a": 1.0}, {"b": 1.0}])
