"""What a model is: its framework and signature, read from its files. The one caller of `read_signature`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud_hub.errors import InvalidInputError, ModelRefusedError, NotOnnxError
from cloud_hub.models.onnx_file import read_signature

ONNX = "onnx"
FRAMEWORK = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Description:
    """The framework, and ``{"inputs": [...], "outputs": [...], ...}`` where it is known, else empty."""

    framework: str
    signature: dict[str, Any] = field(default_factory=dict)


def onnx_files(paths: Sequence[str]) -> list[str]:
    """Return the paths that are ONNX files by their name."""
    return [path for path in paths if path.lower().endswith(".onnx")]


def to_inspect(paths: Sequence[str], framework: str | None) -> list[str]:
    """Return the files that `describe` needs: those of a model that is, or must be, ONNX."""
    return list(paths) if framework in {None, ONNX} else []


def describe(folder: Path, paths: Sequence[str], framework: str | None) -> Description:
    """Return what the files ``paths`` below ``folder`` are; nothing of them is run.

    Without a framework a model is ONNX: one file, or a folder with exactly one. With another
    framework the files are kept as they are, and not looked into. Raises `NotOnnxError`, and
    `InvalidInputError` for a framework's name that breaks the rule.
    """
    if framework is not None and not FRAMEWORK.fullmatch(framework):
        raise InvalidInputError(
            "the framework's name is not allowed", where="framework", fix="Use a-z, 0-9, '.' and '-'."
        )
    if framework not in {None, ONNX}:
        return Description(framework or "")
    found = list(paths) if len(paths) == 1 else onnx_files(paths)
    if len(found) != 1:
        raise NotOnnxError(
            f"the folder holds {len(found)} *.onnx files, not one",
            where="model",
            fix="Leave one in it, or say which framework the model is of.",
        )
    (path,) = found
    try:
        return Description(ONNX, read_signature(folder / path, where=path))
    except ModelRefusedError as error:
        if framework == ONNX or onnx_files([path]):
            raise
        fix = f"{error.fix} For another kind of model, say its framework."
        raise type(error)(error.what, where=error.where, fix=fix) from error
