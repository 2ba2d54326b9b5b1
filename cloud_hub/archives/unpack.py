"""`unpack`: an archive from people becomes a folder, or an error and nothing."""

import dataclasses
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cloud_hub.archives.errors import ArchiveRefusedError, ArchiveStorageError
from cloud_hub.archives.limits import ArchiveLimits
from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.run import run_confined

EXTRACT = "cloud_hub.archives.extract"


@dataclass(frozen=True)
class Unpacked:
    """A folder of plain files; ``peak_bytes`` is the child's largest resident memory."""

    folder: Path
    files: int
    size_bytes: int
    peak_bytes: int


def unpack(archive: Path, target: Path, *, where: str = "", limits: ArchiveLimits | None = None) -> Unpacked:
    """Unpack a zip, tar or tar.gz into the folder ``target``, which must not exist; its parent must.

    ``where`` names the archive in errors. Raises `ArchiveRefusedError`, `ArchiveStorageError`; then
    there is no ``target`` and nothing beside it. Blocks, so call it in a thread.
    """
    limits = limits or ArchiveLimits()
    fresh = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
    try:
        answer = _extract(archive, fresh, where, limits)
        fresh.rename(target)
    except OSError as error:
        raise ArchiveStorageError(
            f"the folder cannot be made ({error.strerror})", where=where, fix="Try again."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Unpacked(target, answer["files"], answer["file_bytes"], answer["peak_bytes"])


def _extract(archive: Path, target: Path, where: str, limits: ArchiveLimits) -> dict[str, int]:
    request = {
        "archive": str(archive.absolute()),
        "target": str(target.absolute()),
        "limits": dataclasses.asdict(limits),
    }
    try:
        answer = run_confined(EXTRACT, request, limits.of_child())
    except ChildLostError as error:
        rule = "time" if error.ending == "time" else "memory"
        raise ArchiveRefusedError(
            rule, f"it takes more {rule} to unpack than allowed", where=where
        ) from error
    if "rule" in answer:
        raise ArchiveRefusedError(answer["rule"], answer["what"], where=where)
    if "errno" in answer:
        raise ArchiveStorageError(
            f"its files cannot be kept ({os.strerror(answer['errno'])})",
            where=where,
            fix="Free space in the hub's data folder.",
        )
    return {key: int(answer[key]) for key in ("files", "file_bytes", "peak_bytes")}
