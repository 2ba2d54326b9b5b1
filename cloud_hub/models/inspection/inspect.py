"""`inspect`: the door of this room."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.run import run_confined
from cloud_hub.errors import ModelRefusedError, NotOnnxError
from cloud_hub.models.inspection import errors
from cloud_hub.models.inspection.kinds import FRAMEWORK
from cloud_hub.models.inspection.limits import InspectionLimits

log = logging.getLogger(__name__)

LOOK: Final = "cloud_hub.models.inspection.look"
FIX: Final[dict[type[ModelRefusedError], str]] = {
    NotOnnxError: "Export the model to one self-contained .onnx file.",
    errors.ExternalDataError: "Register the folder with all its files, or save the model as one file.",
    errors.ModelPickleError: "Export the model to ONNX or safetensors; a pickle runs code when it is loaded.",
    errors.ModelArchiveError: "Unpack it and register the folder.",
    errors.ModelUnknownError: "Register ONNX, safetensors, TFLite, GGUF, Keras or numpy files, or a folder.",
    errors.ModelDamagedError: "Save the model again and register that file.",
    errors.ModelTooComplexError: "Simplify the model, or split it into several.",
    errors.ModelLinkError: "Put the files themselves into the folder, without links.",
    ModelRefusedError: "Check where the model comes from.",
}
BY_CODE: Final = {kind.code: kind for kind in FIX}


@dataclass(frozen=True)
class ModelFile:
    """A file of a model: path with ``/``, size, and what it is (`cloud_hub.models.inspection.kinds`)."""

    path: str
    size_bytes: int
    kind: str


@dataclass(frozen=True)
class Description:
    """What a model is.

    ``framework`` is a value of `FRAMEWORK`, or ``custom``. ``main`` is the file that names it; empty for
    ``custom``. ``signatures`` has what `onnx_signature.signature_of` gives, by path, for each ONNX file.
    ``pickled``: a file of it is a pickle, which must not be loaded outside of a confined container.
    """

    framework: str
    main: str
    files: tuple[ModelFile, ...]
    signatures: dict[str, dict[str, Any]]
    pickled: bool

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def signature(self) -> dict[str, Any]:
        """Return the signature of the main file; empty where it has none."""
        return self.signatures.get(self.main, {})


def inspect(
    root: Path,
    *,
    where: str,
    name: str | None = None,
    allow_pickle: bool = False,
    own_links: bool = False,
    limits: InspectionLimits | None = None,
) -> Description:
    """Find out what the file or folder at ``root`` is.

    ``name`` is what a file is called by the person who gave it (default: its own); a folder has none.
    ``where`` names the model in errors. Pickles are refused unless ``allow_pickle``; then they are
    marked, and not loaded either. Files with a second name are refused unless ``own_links`` says that
    the hub has linked them itself. Raises a `ModelRefusedError`. Blocks, so call it in a thread.
    """
    limits = limits or InspectionLimits()
    request = {
        "root": str(root.absolute()),
        "name": None if root.is_dir() and not root.is_symlink() else name or root.name,
        "allow_pickle": allow_pickle,
        "own_links": own_links,
        "limits": dataclasses.asdict(limits),
    }
    try:
        answer = run_confined(LOOK, request, limits.of_child())
    except ChildLostError as error:
        log.warning("a model could not be looked at: %s (%s)", error.what, error.ending)
        if error.ending == "failed":
            raise _refusal(ModelRefusedError, "the model cannot be read", where) from error
        what = "the model takes more time or memory to be looked at than allowed"
        raise _refusal(errors.ModelTooComplexError, what, where) from error
    if "code" in answer:
        kind = BY_CODE[answer["code"]]
        inside = request["name"] is None and answer["file"]
        raise _refusal(kind, answer["what"], f"{where}/{answer['file']}" if inside else where)
    return _described(answer)


def _refusal(kind: type[ModelRefusedError], what: str, where: str) -> ModelRefusedError:
    return kind(what, where=where, fix=FIX[kind])


def _described(answer: dict[str, Any]) -> Description:
    files = tuple(ModelFile(path, size, kind) for path, size, kind in answer["files"])
    main = min(filter(_names_framework, files), key=_rank, default=None)
    return Description(
        framework=FRAMEWORK[main.kind] if main is not None else "custom",
        main=main.path if main is not None else "",
        files=files,
        signatures=answer["signatures"],
        pickled=any(file.kind in {"pickle", "pytorch"} for file in files),
    )


def _names_framework(file: ModelFile) -> bool:
    return file.kind in FRAMEWORK


def _rank(file: ModelFile) -> tuple[int, int, bool, str]:
    """Order: framework, then the file nearest to the root, then one called ``model``, then by name."""
    called_model = file.path.rpartition("/")[2].startswith("model.")
    return (list(FRAMEWORK).index(file.kind), file.path.count("/"), not called_model, file.path)
