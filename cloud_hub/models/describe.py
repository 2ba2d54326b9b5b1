"""What a model is: its framework and signature, found out by `inspection` whatever it is said to be."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud_hub.errors import InvalidInputError, ModelRefusedError, NotOnnxError
from cloud_hub.models.inspection.errors import ModelPickleError, ModelUnknownError
from cloud_hub.models.inspection.inspect import FIX, inspect
from cloud_hub.models.inspection.inspect import Description as Found

ONNX = "onnx"
FRAMEWORK = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Description:
    """The framework; ``{"inputs": [...], "outputs": [...], ...}`` of ONNX, else empty; is a file a pickle?"""

    framework: str
    signature: dict[str, Any] = field(default_factory=dict)
    pickled: bool = False


def onnx_files(paths: Sequence[str]) -> list[str]:
    """Return the paths that are ONNX files by their name."""
    return [path for path in paths if path.lower().endswith(".onnx")]


def describe(
    root: Path, paths: Sequence[str], framework: str | None, *, allow_pickle: bool = False
) -> Description:
    """Return what the model is whose files are ``paths`` below ``root``; nothing of it is run.

    Every file is looked at, and what no model may be is refused. Without a framework it must be ONNX:
    one file, or a folder with exactly one ``*.onnx`` and whatever it needs. Pickles are refused unless
    ``allow_pickle``. The files may be the hub's own links. Raises a `ModelRefusedError`, and
    `InvalidInputError` for a framework's name that breaks the rule.
    """
    if framework is not None and not FRAMEWORK.fullmatch(framework):
        raise InvalidInputError(
            "the framework's name is not allowed", where="framework", fix="Use a-z, 0-9, '.' and '-'."
        )
    if framework not in {None, ONNX}:
        return _of_another(root, paths, framework or "", allow_pickle)
    found = list(paths) if len(paths) == 1 else onnx_files(paths)
    if len(found) != 1:
        raise NotOnnxError(
            f"the folder has {len(found)} *.onnx files, not one",
            where="model",
            fix="Leave one in it, or say which framework the model is of.",
        )
    try:
        return _of_onnx(root, paths, found[0], allow_pickle)
    except ModelRefusedError as error:
        if framework == ONNX or onnx_files(found):
            raise
        fix = f"{error.fix} For another kind of model, say its framework."
        raise type(error)(error.what, where=error.where, fix=fix) from error


def _of_onnx(root: Path, paths: Sequence[str], main: str, allow_pickle: bool) -> Description:
    not_onnx = NotOnnxError("the file is not an ONNX model", where=main, fix=FIX[NotOnnxError])
    try:
        found = _inspected(root, paths, allow_pickle)
    except ModelUnknownError as error:
        raise not_onnx from error
    if main not in found.signatures:
        raise not_onnx
    return Description(ONNX, found.signatures[main], pickled=found.pickled)


def _of_another(root: Path, paths: Sequence[str], framework: str, allow_pickle: bool) -> Description:
    try:
        found = _inspected(root, paths, allow_pickle)
    except ModelUnknownError:
        return Description(framework)  # of a kind that nobody here knows: that is what was said
    return Description(framework, pickled=found.pickled)


def _inspected(root: Path, paths: Sequence[str], allow_pickle: bool) -> Found:
    """Return what the files are; of one file its path is its name, so errors do not say it twice."""
    name = paths[0] if len(paths) == 1 else None
    try:
        return inspect(
            root / name if name else root,
            where=name or "model",
            name=name,
            allow_pickle=allow_pickle,
            own_links=True,
        )
    except ModelPickleError as error:
        fix = f"{error.fix} To keep it all the same, allow pickles when you register it (`--allow-pickle`)."
        raise ModelPickleError(error.what, where=error.where, fix=fix) from error
