"""The files of an upload, found without following anything."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cloud_hub.models.inspection.errors import ModelLinkError, ModelTooComplexError
from cloud_hub.models.inspection.limits import InspectionLimits


@dataclass(frozen=True)
class Found:
    """A plain file: its path below the root, with ``/``, and its size."""

    path: str
    size_bytes: int


def files_in(root: Path, limits: InspectionLimits, *, own_links: bool = False) -> list[Found]:
    """Return the files below ``root`` in order of their paths; raises a `ModelRefusedError`.

    Refused: symbolic links, devices, pipes, sockets, and files with a second name (hard links) unless
    they are the hub's ``own_links``.
    """
    found: list[Found] = []
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > limits.max_depth:
            raise ModelTooComplexError(f"a file lies deeper than {limits.max_depth} folders")
        with os.scandir(folder) as entries:
            for entry in entries:
                told = entry.stat(follow_symlinks=False)
                path = Path(entry.path)
                if stat.S_ISDIR(told.st_mode):
                    waiting.append((path, depth + 1))
                    continue
                found.append(Found(path.relative_to(root).as_posix(), plain_size(told, own_links=own_links)))
                if len(found) > limits.max_files:
                    raise ModelTooComplexError(f"a model may have {limits.max_files} files")
    return sorted(found, key=lambda each: each.path)


def plain_size(told: os.stat_result, *, own_links: bool = False) -> int:
    """Return the bytes of a regular file that has one name, or is one of the hub's ``own_links``.

    Raises `ModelLinkError`.
    """
    named_twice = stat.S_ISREG(told.st_mode) and told.st_nlink != 1 and not own_links
    if stat.S_ISLNK(told.st_mode) or named_twice:
        raise ModelLinkError("a file is a link to another")
    if not stat.S_ISREG(told.st_mode):
        raise ModelLinkError("something is neither a file nor a folder")
    return told.st_size
