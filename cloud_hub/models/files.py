"""The files of a model: paths that are safe on every machine, and the digest of a folder. Pure."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from cloud_hub.errors import InvalidInputError
from contract.digests import sha256
from contract.encoding import canonical
from contract.errors import FieldProblem

MOST_FILES = 5_000
LONGEST_PATH = 1_000
LONGEST_PART = 255


@dataclass(frozen=True)
class ModelFile:
    """One file: its relative path with ``/``, its digest and bytes."""

    path: str
    digest: str
    size_bytes: int


def path_fault(path: str) -> str:
    """Return why a path may not be in a model, or an empty text.

    It is relative, goes nowhere but down, and means the same on every file system.
    """
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "it is not Unicode"
    if not path or len(encoded) > LONGEST_PATH:
        return f"it is empty or longer than {LONGEST_PATH} bytes"
    if not path.isprintable():
        return "it has a control character"
    if "\\" in path or ":" in path:
        return "it has a backslash or a colon"
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            return "it is not relative, or has '.', '..' or an empty part"
        if len(part.encode()) > LONGEST_PART:
            return f"a part is longer than {LONGEST_PART} bytes"
        if part != part.strip() or part.endswith("."):
            return "a part begins or ends with a blank, or ends with a dot"
    return ""


def check_paths(paths: Sequence[str]) -> None:
    """Raise `InvalidInputError` that names every path which may not be, or means the same as another."""
    problems = []
    if not 1 <= len(paths) <= MOST_FILES:
        problems.append(FieldProblem(field="files", reason=f"a model has 1 to {MOST_FILES} files"))
    seen: set[str] = set()
    folded = [_folded(path) for path in paths]
    folders = {one.rpartition("/")[0] for one in folded}
    folders |= {
        "/".join(parts[:depth]) for parts in (f.split("/") for f in folders) for depth in range(len(parts))
    }
    for number, path in enumerate(paths):
        reason = path_fault(path)
        if not reason and folded[number] in seen:
            reason = "another file has this path, but for case or Unicode form"
        if not reason and folded[number] in folders:
            reason = "another file is below it"
        if reason:
            problems.append(FieldProblem(field=f"files[{number}].path", reason=reason))
        seen.add(folded[number])
    if problems:
        raise InvalidInputError(
            "the files' paths are not allowed", fix="Rename them.", errors=tuple(problems[:20])
        )


def digest_of(files: Sequence[ModelFile], *, folder: bool) -> str:
    """Return a model's digest: of one file its own, of a folder that of its canonical listing."""
    if not folder:
        (file,) = files
        return file.digest
    listing = [
        {"path": file.path, "digest": file.digest, "size_bytes": file.size_bytes}
        for file in sorted(files, key=lambda file: file.path.encode())
    ]
    return sha256(canonical(listing))


def _folded(path: str) -> str:
    one = unicodedata.normalize("NFC", path).casefold()
    return unicodedata.normalize("NFC", one)
