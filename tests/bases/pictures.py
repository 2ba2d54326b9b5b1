"""Images made by hand: OCI layouts from layers that are told file by file."""

import gzip
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from contract import oci

PLATFORM = f"linux/{oci.architecture_of(platform.machine())}"
OTHER_PLATFORM = "linux/arm64" if PLATFORM == "linux/amd64" else "linux/amd64"


@dataclass(frozen=True)
class Item:
    """An entry of a layer: a file, or with ``link`` a symbolic, with ``same_as`` a hard link."""

    data: bytes = b""
    mode: int = 0o755
    link: str = ""
    same_as: str = ""
    folder: bool = False


Files = dict[str, Item]


def layer_tar(files: Files) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for path, item in files.items():
            header = tarfile.TarInfo(path)
            header.mode = item.mode
            if item.folder:
                header.type = tarfile.DIRTYPE
            elif item.link:
                header.type, header.linkname = tarfile.SYMTYPE, item.link
            elif item.same_as:
                header.type, header.linkname = tarfile.LNKTYPE, item.same_as
            else:
                header.size = len(item.data)
            tar.addfile(header, io.BytesIO(item.data))
    return target.getvalue()


def tar_of(folder: Path) -> Path:
    """Pack a folder beside itself."""
    file = folder.with_suffix(".tar")
    with tarfile.open(file, "w") as tar:
        tar.add(folder, ".")
    return file


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Picture:
    """An image: blobs by digest, its manifest's bytes and types."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifest: bytes = b""
    index: bytes = b""
    config: bytes = b""
    layers: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    def write(self, folder: Path) -> Path:
        """Write it as an OCI layout."""
        target = folder / "blobs" / "sha256"
        target.mkdir(parents=True)
        for digest, data in self.blobs.items():
            (target / digest.removeprefix("sha256:")).write_bytes(data)
        (folder / "index.json").write_bytes(self.index)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        return folder


def picture(
    layers: list[Files],
    *,
    on: str = PLATFORM,
    env: list[str] | None = None,
    pack: Any = None,
    layer_type: str = oci.LAYER_GZIP,
    with_platform: bool = True,
    **wrong: Any,
) -> Picture:
    """Make an image; ``wrong`` replaces parts of its configuration or (``manifest_``) its manifest."""
    made = Picture()
    tars = [layer_tar(files) for files in layers]
    packed = [(pack or (lambda data: gzip.compress(data, 1, mtime=0)))(data) for data in tars]
    system, _, architecture = on.partition("/")
    made.config = json.dumps(
        {
            "architecture": architecture,
            "os": system,
            "config": {"Env": env if env is not None else ["PATH=/usr/local/bin:/usr/bin"], "Cmd": None},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in tars]},
        }
        | {key: value for key, value in wrong.items() if not key.startswith("manifest_")}
    ).encode()
    made.layers = [digest_of(data) for data in packed]
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": _descriptor(made.config, oci.CONFIG),
        "layers": [_descriptor(data, layer_type) for data in packed],
    }
    manifest |= {key.removeprefix("manifest_"): v for key, v in wrong.items() if key.startswith("manifest_")}
    made.manifest = json.dumps(manifest).encode()
    entry = _descriptor(made.manifest, oci.MANIFEST)
    if with_platform:
        entry["platform"] = {"os": system, "architecture": architecture}
    made.index = json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}).encode()
    made.blobs = {digest_of(data): data for data in (made.config, made.manifest, *packed)}
    return made


def picture_of_layer(layer: bytes, diff_id: str, run: dict[str, Any]) -> Picture:
    """Make an image of one gzip-compressed layer that is there already."""
    made = Picture()
    system, _, architecture = PLATFORM.partition("/")
    rootfs = {"type": "layers", "diff_ids": [diff_id]}
    made.config = json.dumps(
        {"architecture": architecture, "os": system, "config": run, "rootfs": rootfs}
    ).encode()
    made.manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "config": _descriptor(made.config, oci.CONFIG),
            "layers": [_descriptor(layer, oci.LAYER_GZIP)],
        }
    ).encode()
    made.index = json.dumps(
        {"schemaVersion": 2, "manifests": [_descriptor(made.manifest, oci.MANIFEST)]}
    ).encode()
    made.layers = [digest_of(layer)]
    made.blobs = {digest_of(data): data for data in (made.config, made.manifest, layer)}
    return made


def _descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


@cache
def this_python() -> tuple[bytes, bytes, str]:
    """The running interpreter's program without what follows its headers, its libc, and its loader's name."""
    program = Path(os.path.realpath(sys.executable))
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libc = re.search(r"libc\.so\.6 => (\S+)", linked)
    loader = re.search(r"^\s*(/\S+/ld-linux\S+)", linked, re.MULTILINE)
    assert libc is not None
    assert loader is not None
    return program.read_bytes()[:65536], Path(libc[1]).read_bytes(), loader[1]


def python_layers(minor: int | None = None, prefix: str = "usr/local") -> list[Files]:
    """Layers as those of Debian's Python images: the system below, Python above, links between."""
    program, libc, loader = this_python()
    name = f"python3.{minor if minor is not None else sys.version_info.minor}"
    system: Files = {
        "etc/os-release": Item(b"ID=test\n", 0o644),
        "lib": Item(link="usr/lib"),
        "lib64": Item(link="usr/lib64"),
        "usr/lib/host-linux-gnu/libc.so.6": Item(libc),
        f"usr/lib64/{loader.rpartition('/')[2]}": Item(b"\x7fELF"),
        f"usr/lib/{loader.rpartition('/')[2]}": Item(b"\x7fELF"),
    }
    python: Files = {
        f"{prefix}/bin/{name}": Item(program),
        f"{prefix}/bin/python3": Item(link=name),
        f"{prefix}/lib/{name}/os.py": Item(b"# os\n", 0o644),
    }
    return [system, python]
