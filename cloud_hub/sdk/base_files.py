"""Bases in files of this machine: an archive as it is, a folder packed."""

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cloud_hub.sdk.errors import SdkError

FILE: Final = "file:"


@contextmanager
def base_archive(path: Path) -> Iterator[Path]:
    """Yield a tar with a base: ``path`` itself, or the OCI layout in the folder ``path`` packed into one.

    Raises `SdkError` for what is neither.
    """
    if path.is_file():
        yield path
        return
    if not (path / "oci-layout").is_file():
        raise SdkError(
            "it is no file, and no folder with an OCI layout",
            where=str(path),
            fix="Save the image with `skopeo copy ... oci:FOLDER` or `docker save -o FILE`.",
        )
    with tempfile.NamedTemporaryFile(prefix="headland-base-", suffix=".tar") as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for name in ("oci-layout", "index.json", "blobs"):
                tar.add(path / name, name, filter=_plain)
        file.flush()
        yield Path(file.name)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out whose they are and when they were made: the same layout is the same upload."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() else 0o644
    return member
