"""An image for an engine, made on the fly of unpacked layers: the archive that ``docker save`` writes.

Nothing of it is written to the disk here: each layer's tar is made twice, once to know its digest and size,
once to be sent. The same folder gives the same bytes, so engines keep a layer that images share once.
Whiteouts stay what they are: an engine reads them as a layer's tar has them.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from agent.layers import MARK

BLOCK: Final = 512
Write = Callable[[bytes], object]


@dataclass(frozen=True)
class Picture:
    """What an image is called in an engine, and the labels it carries there."""

    name: str
    architecture: str
    labels: Mapping[str, str]


def image_name(layers: tuple[Path, ...]) -> str:
    """Return the name for these layers, whose folders are named by their digests."""
    names = b"\0".join(os.fsencode(layer.absolute()) for layer in layers)
    return f"localhost/headland/{hashlib.sha256(names).hexdigest()[:32]}:1"


def write_archive(picture: Picture, layers: tuple[Path, ...], write: Write) -> None:
    """Write the archive of an image with these ``layers``, lowest first."""
    diff_ids, names = [], []
    for number, layer in enumerate((*layers, None)):
        counted = _Counting()
        _write_layer(layer, counted)
        diff_ids.append(f"sha256:{counted.hash.hexdigest()}")
        names.append(f"{number}/layer.tar")
        write(_header(names[-1], counted.size))
        _write_layer(layer, _Passing(write))
        write(bytes(-counted.size % BLOCK))
    config = {
        "architecture": picture.architecture,
        "os": "linux",
        "config": {"Labels": dict(picture.labels)},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    data = json.dumps(config, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(data).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [picture.name], "Layers": names}]
    for name, content in ((config_name, data), ("manifest.json", json.dumps(manifest).encode())):
        write(_header(name, len(content)) + content + bytes(-len(content) % BLOCK))
    write(bytes(2 * BLOCK))


class _Counting:
    def __init__(self) -> None:
        self.hash, self.size = hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return len(data)


class _Passing:
    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        self._write(data)
        return len(data)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _write_layer(layer: Path | None, sink: _Counting | _Passing) -> None:
    """Write the tar of a layer's folder; None: of the one on top, with a /tmp that anyone may write.

    A file system in memory is mounted there, and takes over whose the folder is and its mode.
    """
    with tarfile.open(mode="w|", fileobj=cast("IO[bytes]", sink), format=tarfile.PAX_FORMAT) as tar:
        if layer is None:
            tmp = tarfile.TarInfo("tmp")
            tmp.type, tmp.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(tmp)
        else:
            _add_content(tar, layer, "")


def _add_content(tar: tarfile.TarFile, folder: Path, inside: str) -> None:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{inside}{entry.name}"
        if name == MARK:
            continue
        info = tar.gettarinfo(entry.path, name)
        if info is None:
            continue
        info.uname = info.gname = ""
        info.mtime = int(info.mtime)
        if info.isreg():
            with open(entry.path, "rb") as file:  # noqa: PTH123  an entry is no path
                tar.addfile(info, file)
        else:
            tar.addfile(info)
        tar.members.clear()  # type: ignore[attr-defined]  # it would hold each entry of the image
        if entry.is_dir(follow_symlinks=False):
            _add_content(tar, Path(entry.path), f"{name}/")
