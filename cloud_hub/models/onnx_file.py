"""Reads a single ONNX file without trusting it: the door of `inspection` for one self-contained model."""

from pathlib import Path
from typing import Any

from cloud_hub.errors import NotOnnxError
from cloud_hub.models.inspection.errors import ModelUnknownError
from cloud_hub.models.inspection.inspect import FIX, inspect


def read_signature(path: Path, *, where: str) -> dict[str, Any]:
    """Return what `inspection.onnx_signature.signature_of` gives; raises a `ModelRefusedError`.

    A model whose weights lie in other files is refused: what was checked here must be all there is.
    """
    not_onnx = NotOnnxError("the file is not an ONNX model", where=where, fix=FIX[NotOnnxError])
    try:
        described = inspect(path, where=where, name=path.name)
    except ModelUnknownError as error:
        raise not_onnx from error
    if described.framework != "onnx":
        raise not_onnx
    return described.signature
