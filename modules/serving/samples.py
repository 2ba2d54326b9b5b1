"""A scored request as a telemetry sample: what it looked like, never the input itself. Pure."""

import math
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import msgspec
import numpy as np

from contract.messages import Inference, InputSummary
from modules.serving.tensors import Array

MAX_PREDICTION_VALUES: Final = 128
MAX_PREDICTION_BYTES: Final = 8192
NO_INPUT: Final = InputSummary(shape=(), mean=0.0, std=0.0, min=0.0, max=0.0)
_NULL: Final = msgspec.Raw(b"null")


@dataclass(frozen=True)
class Origin:
    """Where samples of this process come from."""

    module: str
    model: str
    model_version: str
    image: str


def encode_sample(
    origin: Origin, request_id: str | None, latency_us: int, prediction: msgspec.Raw, summary: InputSummary
) -> bytes:
    """Return the body of one ``inference`` sample; a request without an id gets a random one."""
    return msgspec.json.encode(
        Inference(
            request_id=request_id or uuid4().hex,
            module=origin.module,
            model=origin.model,
            model_version=origin.model_version,
            image=origin.image,
            latency_us=latency_us,
            prediction=prediction,
            input=summary,
        )
    )


def summarise_input(array: Array) -> InputSummary:
    """Return shape and statistics; all four are 0 for text, for no elements, and where one is not finite."""
    if array.size == 0 or array.dtype == np.object_:
        return msgspec.structs.replace(NO_INPUT, shape=array.shape)
    flat = array.ravel().astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.add.reduce(flat)) / flat.size
        apart = flat - mean
        std = math.sqrt(float(apart.dot(apart)) / flat.size)
    low, high = float(np.minimum.reduce(flat)), float(np.maximum.reduce(flat))
    if not all(map(math.isfinite, (mean, std, low, high))):
        return msgspec.structs.replace(NO_INPUT, shape=array.shape)
    return InputSummary(shape=array.shape, mean=mean, std=std, min=low, max=high)


def summarise_prediction(array: Array) -> msgspec.Raw:
    """Return a scalar for one value, else a flat list of at most `MAX_PREDICTION_VALUES`.

    Null where even that is longer than `MAX_PREDICTION_BYTES` (long texts).
    """
    values: list[Any] = array.ravel()[:MAX_PREDICTION_VALUES].tolist()
    single = array.size == 1 and array.shape[:1] in ((), (1,))
    return cap_prediction(msgspec.json.encode(values[0] if single else values))


def cap_prediction(encoded: bytes) -> msgspec.Raw:
    """Return an encoded prediction as it is, or null where it is too long to keep."""
    return msgspec.Raw(encoded) if len(encoded) <= MAX_PREDICTION_BYTES else _NULL
