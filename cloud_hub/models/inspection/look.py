"""What the confined child does: every file is looked at, ONNX files down to their operators."""

import os
import posixpath
import resource
from pathlib import Path
from typing import Any, BinaryIO

from cloud_hub.errors import ModelRefusedError
from cloud_hub.models.inspection import arrays, pickles
from cloud_hub.models.inspection.errors import (
    ExternalDataError,
    ModelArchiveError,
    ModelPickleError,
    ModelTooComplexError,
    ModelUnknownError,
)
from cloud_hub.models.inspection.folder import Found, files_in, plain_size
from cloud_hub.models.inspection.kinds import ONNX_SUFFIX, Kind, kind_of
from cloud_hub.models.inspection.limits import InspectionLimits
from cloud_hub.models.inspection.onnx_scan import scan
from cloud_hub.models.inspection.onnx_tensor import External
from cloud_hub.models.inspection.protobuf import NotProtobufError, Wire
from cloud_hub.models.inspection.zips import kind_of_zip

PICKLED = {"pickle", "pytorch"}
MAX_ONNX_FILES = 32
UNKNOWN = "the file is of no kind that is known here"


def confined(request: dict[str, Any]) -> dict[str, Any]:
    """Look at ``root``: a file called ``name``, or a folder where ``name`` is None.

    Answers ``{"files": [[path, bytes, kind], ...], "signatures": {path: signature}}``, or
    ``{"code", "what", "file"}`` where it is refused.
    """
    look = _Look(
        InspectionLimits(**request["limits"]),
        allow_pickle=request["allow_pickle"],
        own_links=request["own_links"],
    )
    try:
        return look.at(Path(request["root"]), request["name"])
    except ModelRefusedError as error:
        return {"code": error.code, "what": error.what, "file": look.file}


class _Look:
    def __init__(self, limits: InspectionLimits, *, allow_pickle: bool, own_links: bool) -> None:
        self._limits = limits
        self._own_links = own_links
        self._allow_pickle = allow_pickle
        self.file = ""

    def at(self, root: Path, name: str | None) -> dict[str, Any]:
        """Look at all of it; ``file`` is the one that is being looked at."""
        single = name is not None
        if name is not None:
            files = [Found(name, plain_size(root.lstat(), own_links=self._own_links))]
        else:
            files = files_in(root, self._limits, own_links=self._own_links)
        kinds: list[list[Any]] = []
        opened: list[tuple[Found, BinaryIO]] = []
        for found in files:
            self.file = found.path
            file = _open(root if single else root / found.path)
            kind = self._kind(file, found, single=single)
            kinds.append([found.path, found.size_bytes, kind])
            if kind == "onnx":
                opened.append((found, file))
                if len(opened) > MAX_ONNX_FILES:
                    raise ModelTooComplexError(f"a model may have {MAX_ONNX_FILES} ONNX files")
            else:
                file.close()
        signatures = self._signatures(opened, files, single=single)
        for each in kinds:
            if each[2] == "onnx" and each[0] not in signatures:
                each[2] = "other"
        return {"files": kinds, "signatures": signatures}

    def _kind(self, file: BinaryIO, found: Found, *, single: bool) -> Kind:
        head = file.read(pickles.HEAD_BYTES)
        kind = kind_of(posixpath.basename(found.path), head, found.size_bytes)
        file.seek(0)
        if kind == "zip":
            kind = kind_of_zip(file, found.size_bytes, self._limits)
        if kind == "npy":
            arrays.check_npy(head)
        if kind == "safetensors":
            kind = self._safetensors(file, found, single=single)
        if kind in PICKLED and not self._allow_pickle:
            raise ModelPickleError("the file is a pickle, or holds one")
        if kind == "archive" or (kind == "compressed" and single):
            raise ModelArchiveError("the file is an archive or compressed")
        if kind == "other" and single:
            raise ModelUnknownError(UNKNOWN)
        return kind

    def _safetensors(self, file: BinaryIO, found: Found, *, single: bool) -> Kind:
        try:
            arrays.check_safetensors(file, found.size_bytes, self._limits)
        except ModelRefusedError:
            # Two bytes of its start made it one: beside a model that may also be plain weights.
            if single or found.path.lower().endswith(".safetensors"):
                raise
            return "other"
        return "safetensors"

    def _signatures(
        self, opened: list[tuple[Found, BinaryIO]], files: list[Found], *, single: bool
    ) -> dict[str, Any]:
        if not opened:
            return {}
        # Before the door is shut: it opens files of its own.
        from cloud_hub.models.inspection.onnx_signature import signature_of  # noqa: PLC0415

        # From here on this process can open nothing, whatever a model names.
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        sizes = {found.path: found.size_bytes for found in files}
        signatures = {}
        for found, file in opened:
            self.file = found.path
            wire = Wire(file, found.size_bytes, self._limits.max_fields)
            try:
                result = scan(wire, self._limits)
            except NotProtobufError as error:
                # Three bytes of its start made it ONNX, as they do of one in 8,000 files of weights.
                if found.path.lower().endswith(ONNX_SUFFIX):
                    raise
                if single:
                    raise ModelUnknownError(UNKNOWN) from error
                continue
            for external in result.external:
                _judge_external(external, found.path, {} if single else sizes)
            signatures[found.path] = signature_of(result.skeleton, self._limits)
        return signatures


def _judge_external(external: External, model: str, sizes: dict[str, int]) -> None:
    """Weights elsewhere must be within a plain file of the same folder; ``sizes`` has all of them."""
    if not sizes:
        raise ExternalDataError("the model keeps weights in other files")
    parts = external.location.split("/")
    if external.location.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise ExternalDataError("the model keeps weights in a file that its folder does not hold")
    size = sizes.get(posixpath.join(posixpath.dirname(model), external.location))
    if size is None:
        raise ExternalDataError("the model keeps weights in a file that its folder does not hold")
    if external.offset + external.length > size:
        raise ExternalDataError("the model's weights reach beyond the end of their file")


def _open(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
