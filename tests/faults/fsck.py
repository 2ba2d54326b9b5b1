"""The content store after a fault: what it shows as whole is whole, to the byte."""

import io
import tarfile
from pathlib import Path

from contract.digests import sha256


def store_faults(content: Path, layers: dict[str, bytes]) -> list[str]:
    """Return what is wrong: blobs of another digest, layers (plain tars by diff id) with another tree."""
    found = [
        f"blob {path.name} has other bytes"
        for path in (content / "blobs/sha256").iterdir()
        if not path.name.startswith(".") and sha256(path.read_bytes()) != f"sha256:{path.name}"
    ]
    for path in (content / "layers").iterdir():
        if path.name.startswith("."):
            continue
        wanted = layers.get(f"sha256:{path.name}")
        if wanted is None or _tree(path) != _tree_of(wanted):
            found.append(f"layer {path.name} is not what it was")
    return found


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _tree_of(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}
