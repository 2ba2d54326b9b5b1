"""How a program of an image starts as a plain process of the device."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.drivers.elf import elf_loader, script_interpreter
from agent.drivers.image_paths import ImagePaths, resolve_inside
from agent.drivers.port import ContainerSpec, InvalidContainerError, Mount, listening
from agent.drivers.process_record import FILE, OTHER, WRITER

DATA_LIMIT_FACTOR = 4
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
LIBRARY_FOLDERS = ("/opt/python/lib", "/usr/local/lib", "/lib64", "/usr/lib64", "/lib", "/usr/lib")


@dataclass(frozen=True)
class Command:
    """Words to execute, an absolute path first, and the whole environment."""

    words: list[str]
    env: dict[str, str]


def command_of(spec: ContainerSpec, root: Path, own: Path, listeners: Iterable[str]) -> Command:
    """Return the command of a container whose merged layers are at ``root``.

    ``own`` is the driver's folder of this container: it gets the record of the process, and is
    where /tmp lies; ``listeners`` are the names of the sockets handed over. Raises
    `InvalidContainerError` where the image has no such program, or it is to have rights of its own.
    """
    if spec.grants.privileged or spec.grants.capabilities:
        raise InvalidContainerError(
            "a plain process gets no capabilities, and is not privileged",
            where=f"container {spec.id}",
            fix="Run it with the driver runc.",
        )
    inside = _inside(spec, root, own)
    data_kib = spec.limits.memory_bytes * DATA_LIMIT_FACTOR // 1024
    shell = ["/bin/sh", "-c", WRITER, "sh", str(own / FILE), str(data_kib), inside.cwd]
    return Command([*shell, *inside.words], inside.env | listening(listeners))


def other_command(spec: ContainerSpec, root: Path, own: Path) -> Command:
    """Return the command of another program in that container: no record is written, no sockets are named."""
    inside = _inside(spec, root, own)
    data_kib = spec.limits.memory_bytes * DATA_LIMIT_FACTOR // 1024
    return Command(["/bin/sh", "-c", OTHER, "sh", str(data_kib), inside.cwd, *inside.words], inside.env)


@dataclass(frozen=True)
class _Inside:
    words: list[str]
    env: dict[str, str]
    cwd: str


def _inside(spec: ContainerSpec, root: Path, own: Path) -> _Inside:
    mounts = tuple(Mount(m.source.absolute(), m.target, m.read_only) for m in spec.mounts)
    paths = ImagePaths(root, (*mounts, Mount(own / "tmp", "/tmp", read_only=False)))  # noqa: S108  the image's
    env = {"TMPDIR": str(own / "tmp")}
    env |= {name: paths.of_value(value) for name, value in spec.env.items() if not name.startswith("LD_")}
    arguments = paths.of_arguments(spec.args[1:])
    program = _program(spec, paths)
    words = [*_loaded(program, root, paths, spec.env.get("LD_LIBRARY_PATH", "")), *arguments]
    cwd = root if spec.cwd == "/" else Path(paths.of_device(spec.cwd))
    setpriv = shutil.which("setpriv")
    guard = [setpriv, "--no-new-privs", "--"] if setpriv else []
    return _Inside([*guard, *words], env, str(cwd))


def _program(spec: ContainerSpec, paths: ImagePaths) -> Path:
    name = spec.args[0]
    if "/" in name:
        candidates = [str(PurePosixPath(spec.cwd, name))]
    else:
        folders = spec.env.get("PATH", DEFAULT_PATH).split(":")
        candidates = [str(PurePosixPath(folder, name)) for folder in folders if folder.startswith("/")]
    for candidate in candidates:
        found = resolve_inside(paths.root, candidate)
        if found is not None and found.is_file() and os.access(found, os.X_OK):
            return Path(paths.of_device(candidate))
    raise InvalidContainerError(
        "its image has no such program", where=f"container {spec.id}", fix="Correct the image's entry point."
    )


def _loaded(program: Path, root: Path, paths: ImagePaths, library_path: str) -> list[str]:
    """Return the words before the arguments: the image's loader and interpreter, as far as it has them."""
    loader = elf_loader(program)
    if loader is not None:
        found = resolve_inside(root, loader)
        if found is None:
            return [str(program)]
        triplet = f"{os.uname().machine}-linux-gnu"
        folders = [*library_path.split(":"), *LIBRARY_FOLDERS, f"/lib/{triplet}", f"/usr/lib/{triplet}"]
        inside = [
            paths.of_device(folder)
            for folder in folders
            if folder.startswith("/") and resolve_inside(root, folder) is not None
        ]
        return [str(found), "--library-path", ":".join(dict.fromkeys(inside)), str(program)]
    interpreter = script_interpreter(program)
    if interpreter:
        found = resolve_inside(root, interpreter[0])
        if found is not None and found.is_file():
            place = Path(paths.of_device(interpreter[0]))
            return [*_loaded(place, root, paths, library_path), *interpreter[1:], str(program)]
    return [str(program)]
