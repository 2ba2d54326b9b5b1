"""A folder as a tar in gzip that is the same on every day, machine, umask and user."""

import gzip
import tarfile
from pathlib import Path


def write_project_tar(folder: Path, target: Path, top: str) -> None:
    """Write the files of ``folder`` below ``top/``, sorted, with fixed times, owners and modes."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        for name in sorted(names):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = names[name].stat().st_size
            entry.mode = 0o755 if name.endswith(".sh") else 0o644
            with names[name].open("rb") as content:
                tar.addfile(entry, content)
