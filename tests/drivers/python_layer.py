"""A layer that holds the Python that runs these tests, small and with its own libraries."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGES = ("collections", "ctypes", "encodings", "importlib", "json", "re", "urllib")
EXTENSIONS = (
    "_ctypes",
    "_json",
    "_socket",
    "_struct",
    "array",
    "math",
    "select",
    "_posixsubprocess",
    "fcntl",
)
LIBRARIES = "opt/python/lib"


def make_python_layer(layer: Path) -> None:
    """Lay Python and its libraries at ``/opt/python`` of ``layer``, and the loader at its own place."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = layer / LIBRARIES / version
    (target / "lib-dynload").mkdir(parents=True)
    (layer / "opt/python/bin").mkdir()
    for path in stdlib.glob("*.py"):
        shutil.copy(path, target)
    for package in PACKAGES:
        shutil.copytree(
            stdlib / package, target / package, ignore=shutil.ignore_patterns("test*", "__pycache__")
        )
    binary = layer / "opt/python/bin" / version
    shutil.copy(os.path.realpath(sys.executable), binary)
    (layer / "opt/python/bin/python3").symlink_to(version)
    copied = [binary]
    for name in EXTENSIONS:
        for path in (stdlib / "lib-dynload").glob(f"{name}.*.so"):
            copied.append(Path(shutil.copy(path, target / "lib-dynload")))
    for path in copied:
        copy_libraries(path, layer)
    for folder in ("etc", "proc", "sys", "dev", "app"):
        (layer / folder).mkdir()
    (layer / "tmp").mkdir(mode=0o755)


def copy_libraries(program: Path, layer: Path) -> None:
    """Copy what ``program`` is linked with."""
    output = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for line in output.splitlines():
        if linked := re.search(r"=> (/\S+)", line):
            target = layer / LIBRARIES / Path(linked[1].split("/")[-1]).name
            source = Path(linked[1])
        elif loader := re.match(r"\s*(/\S*ld-\S+)", line):
            source, target = Path(loader[1]), layer / loader[1].lstrip("/")
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(os.path.realpath(source), target)
