"""Source archives, good and evil, and an index that has them; the evil ones tell what they could do."""

import gzip
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.images.build.ports import Wheel
from cloud_hub.images.build.sources.build import Archive
from contract.digests import sha256

BACKEND = """
import io, json, os, zipfile
NAME, VERSION = {name!r}, {version!r}

def does():
    return "nothing"

{code}

def get_requires_for_build_wheel(settings=None):
    return {requires!r}

def build_wheel(folder, settings=None, metadata=None):
    told, info = json.dumps(does()), f"{{NAME}}-{{VERSION}}.dist-info"
    filename = f"{{NAME}}-{{VERSION}}-{tag}.whl"
    with zipfile.ZipFile(os.path.join(folder, filename), "w") as archive:
        archive.writestr(f"{{NAME}}.py", f"TOLD = {{told!r}}\\n")
        told = "Metadata-Version: 2.1\\nName: {inside}\\nVersion: " + VERSION + "\\n"
        archive.writestr(f"{{info}}/METADATA", told)
        archive.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {tag}\\n")
        archive.writestr(f"{{info}}/RECORD", "")
    return filename
"""
C_SOURCE = """
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, 0}, {0, 0, 0, 0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "hl_native", 0, -1, methods};
PyMODINIT_FUNC PyInit_hl_native(void) { return PyModule_Create(&module); }
"""
ESCAPES = """
import socket, subprocess, sys
TARGETS = json.load(open(os.path.join(os.path.dirname(__file__), "targets.json")))

def tried(what):
    try:
        return bool(what())
    except Exception:
        return False

def read(path):
    with open(path, "rb") as stream:
        return stream.read() != b""

def write(path):
    with open(path, "w") as stream:
        return stream.write("x")

def connect():
    with socket.create_connection(("127.0.0.1", TARGETS["port"]), timeout=5):
        return True

def outlive():
    subprocess.Popen(["sleep", TARGETS["sleep"]], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return True

def signal():
    os.kill(TARGETS["process"], 0)
    return open(f"/proc/{TARGETS['process']}/cmdline", "rb").read() != b""

def does():
    return {
        "reads": tried(lambda: read(TARGETS["secret"])),
        "lists": tried(lambda: os.listdir(TARGETS["folder"])),
        "writes": tried(lambda: write(TARGETS["marker"])),
        "connects": tried(connect),
        "knows": tried(lambda: os.environ["HEADLAND_CANARY"]),
        "signals": tried(signal),
        "starts": tried(outlive),
    }
"""
MARK = """
try:
    with open({marker!r}, "a") as stream:
        stream.write("executed")
except OSError:
    pass
"""


def sdist(folder: Path, name: str, version: str, files: dict[str, str]) -> Archive:
    """Write a source archive that says the same each time."""
    path = folder / f"{name}-{version}.tar.gz"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for place, text in {"PKG-INFO": metadata, **files}.items():
            member = tarfile.TarInfo(f"{name}-{version}/{place}")
            member.size, member.mtime = len(text.encode()), 1_600_000_000
            tar.addfile(member, io.BytesIO(text.encode()))
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return Archive(name, path.name, sha256(path.read_bytes()), path)


def backed(
    folder: Path,
    name: str,
    code: str = "",
    *,
    version: str = "1.0",
    tag: str = "py3-none-any",
    needs: list[str] | None = None,
    requires: list[str] | None = None,
    inside: str = "",
    files: dict[str, str] | None = None,
) -> Archive:
    """Write one that is built by a backend of its own, which runs ``code`` when it is imported."""
    backend = BACKEND.format(
        name=name, version=version, code=code, tag=tag, requires=requires or [], inside=inside or name
    )
    project = f'[build-system]\nrequires={json.dumps(needs or [])}\nbuild-backend="own"\nbackend-path=["."]\n'
    return sdist(folder, name, version, {"pyproject.toml": project, "own.py": backend, **(files or {})})


def native(folder: Path) -> Archive:
    """Write one with an extension in C, built by setuptools."""
    setup = "from setuptools import Extension, setup\nsetup(name='hl_native', version='1.0', ext_modules=["
    setup += "Extension('hl_native', ['native.c'])])\n"
    return sdist(folder, "hl_native", "1.0", {"setup.py": setup, "native.c": C_SOURCE})


def index_of(folder: Path, wheels: tuple[Wheel, ...], patch: pytest.MonkeyPatch) -> Path:
    """Make a folder with wheels, from which alone pip takes what it needs."""
    patch.setenv("PIP_CONFIG_FILE", "/dev/null")
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(folder))
    folder.mkdir(exist_ok=True)
    for wheel in wheels:
        os.link(wheel.path, folder / wheel.filename)
    return folder


def a_wheel(folder: Path, name: str, more: str = "") -> None:
    """Write a wheel, version 1.0, that holds nothing but its metadata, with ``more`` lines."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{more}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def told_by(wheel: Wheel) -> Any:
    """Return what the code in a source archive found that it could do, while its wheel was built."""
    with zipfile.ZipFile(wheel.path) as archive:
        (module,) = [one for one in archive.namelist() if "/" not in one]
        inside: dict[str, str] = {}
        exec(archive.read(module), inside)
    return json.loads(inside["TOLD"])
