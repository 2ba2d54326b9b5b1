"""The Open Inference Protocol v2 over REST: bodies of requests and answers. Pure but for the run.

Specification: kserve/open-inference-protocol, ``specification/protocol/inference_rest.md``.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import msgspec

from modules.serving.errors import BodyInvalidError, TensorInvalidError
from modules.serving.model import PLATFORM, OnnxModel, OutputTensor
from modules.serving.tensors import (
    Array,
    JsonTensor,
    TensorSpec,
    check_fit,
    read_data,
    read_tensor,
    write_data,
)

MAX_ID_CHARS: Final = 256
_RequestId = Annotated[str, msgspec.Meta(max_length=MAX_ID_CHARS)]
T = TypeVar("T")


class WantedOutput(msgspec.Struct, frozen=True):
    """One entry of a request's ``outputs``."""

    name: str


class InferRequest(msgspec.Struct, frozen=True):
    """The body of ``/infer``; unknown fields and parameters are skipped."""

    inputs: tuple[JsonTensor, ...]
    id: _RequestId | None = None
    outputs: tuple[WantedOutput, ...] = ()


class ScoreRequest(msgspec.Struct, frozen=True):
    """The body of ``/score`` for an ONNX model: rows for its one input, or an `InferRequest`."""

    data: msgspec.Raw = msgspec.Raw()
    inputs: tuple[JsonTensor, ...] = ()
    id: _RequestId | None = None
    outputs: tuple[WantedOutput, ...] = ()


@dataclass(frozen=True)
class Scored:
    """One scored request: what telemetry wants to know besides the answer's bytes."""

    answer: bytes
    request_id: str | None
    first_input: Array
    first_output: Array


_infer_decoder: Final = msgspec.json.Decoder(InferRequest)
_score_decoder: Final = msgspec.json.Decoder(ScoreRequest)


def infer(model: OnnxModel, name: str, version: str, body: bytes) -> Scored:
    """Run an `InferRequest` and return its answer in the protocol's form.

    Raises `BodyInvalidError`, `TensorInvalidError`, `InputRefusedError` or `ModelFailedError`.
    """
    request = _decode(_infer_decoder, body)
    feed, outputs = _run(model, request.inputs, request.outputs)
    document: dict[str, Any] = {"model_name": name, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    document["outputs"] = [_write_output(output) for output in outputs]
    return Scored(msgspec.json.encode(document), request.id, feed, outputs[0].array)


def score(model: OnnxModel, name: str, version: str, body: bytes) -> Scored:
    """Run a `ScoreRequest`; ``result`` of the answer is the first output, nested by row.

    Where there are more outputs, ``outputs`` holds all of them by name. Raises as `infer` does.
    """
    request = _decode(_score_decoder, body)
    if not request.data:
        feed, outputs = _run(model, request.inputs, request.outputs)
    else:
        feed, outputs = _run_rows(model, request.data, request.outputs)
    document: dict[str, Any] = {"result": outputs[0].array.tolist()}
    if len(outputs) > 1:
        document["outputs"] = {output.name: output.array.tolist() for output in outputs}
    document |= {"model_name": name, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    return Scored(msgspec.json.encode(document), request.id, feed, outputs[0].array)


def model_metadata(model: OnnxModel | None, name: str, version: str) -> dict[str, Any]:
    """Return the model metadata document; a script (None) declares no tensors."""
    return {
        "name": name,
        "versions": [version],
        "platform": PLATFORM if model else "python_script",
        "inputs": [_describe(spec) for spec in model.inputs] if model else [],
        "outputs": [_describe(spec) for spec in model.outputs] if model else [],
    }


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise BodyInvalidError("the body is not UTF-8", where="body") from error
    except RecursionError as error:
        raise BodyInvalidError("the body is nested too deep", where="body") from error
    except msgspec.DecodeError as error:
        raise BodyInvalidError(str(error), where="body") from error


def _run(
    model: OnnxModel, inputs: tuple[JsonTensor, ...], outputs: tuple[WantedOutput, ...]
) -> tuple[Array, list[OutputTensor]]:
    specs = {spec.name: spec for spec in model.inputs}
    feeds: dict[str, Array] = {}
    symbols: dict[str, int] = {}
    for index, tensor in enumerate(inputs):
        where = f"inputs[{index}]"
        spec = specs.get(tensor.name)
        if spec is None or tensor.name in feeds:
            reason = "the model has no input of this name" if spec is None else "this input was given before"
            raise TensorInvalidError(reason, where=where, fix=f"The model takes: {', '.join(specs)}.")
        array = read_tensor(tensor, where=where)
        check_fit(array, tensor.datatype, spec, symbols, where=where)
        feeds[tensor.name] = array
    missing = [name for name in specs if name not in feeds]
    if missing:
        raise TensorInvalidError(f"input {', '.join(missing)} is missing", where="inputs")
    return next(iter(feeds.values())), model.run(feeds, _choose(model, outputs))


def _run_rows(
    model: OnnxModel, data: msgspec.Raw, outputs: tuple[WantedOutput, ...]
) -> tuple[Array, list[OutputTensor]]:
    if len(model.inputs) != 1:
        raise TensorInvalidError(
            f"the model takes {len(model.inputs)} inputs, data fills one", where="data", fix="Send inputs[]."
        )
    spec = model.inputs[0]
    array = read_data(spec.datatype, memoryview(data), where="data")
    check_fit(array, spec.datatype, spec, {}, where="data")
    return array, model.run({spec.name: array}, _choose(model, outputs))


def _choose(model: OnnxModel, wanted: tuple[WantedOutput, ...]) -> list[str] | None:
    known = [spec.name for spec in model.outputs]
    for index, output in enumerate(wanted):
        if output.name not in known:
            raise TensorInvalidError(
                "the model has no output of this name",
                where=f"outputs[{index}]",
                fix=f"The model gives: {', '.join(known)}.",
            )
    return list(dict.fromkeys(output.name for output in wanted)) or None


def _write_output(output: OutputTensor) -> dict[str, Any]:
    document: dict[str, Any] = {"name": output.name, "shape": output.array.shape, "datatype": output.datatype}
    if output.labels is not None:
        document["parameters"] = {"labels": output.labels}
    document["data"] = write_data(output.array)
    return document


def _describe(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.wire_shape()}
