"""The base layer "host": the running Python, its standard library and the shared libraries it needs."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from cloud_hub.images.build import elf
from cloud_hub.images.build.errors import HostRuntimeError
from cloud_hub.images.build.interpreter import Interpreter
from cloud_hub.images.build.layer_tar import (
    Content,
    Directory,
    Entry,
    File,
    Link,
    digest_of,
    from_bytes,
    from_path,
)
from cloud_hub.images.build.layout import LIBRARIES, PYTHON, PYTHON_HOME, USER_ID
from cloud_hub.images.build.shared_libraries import expected_by_wheels, linkage_of
from contract.digests import sha256

LEFT_OUT_FOLDERS: Final = re.compile(
    r"__pycache__|tests?|idlelib|tkinter|turtledemo|ensurepip|(site|dist)-packages|config-.*|lib-dynload"
)
LEFT_OUT_FILES: Final = re.compile(
    # Describes the building machine, or was written for it; or needs a display.
    r"_sysconfigdata.*|_sysconfig_vars.*|build-details\.json|(site|user)customize\.py|EXTERNALLY-MANAGED"
    r"|turtle\.py|.*\.(a|o|pyc)"
)
LEFT_OUT_EXTENSIONS: Final = re.compile(
    # Tests of Python itself, the display, and NIS, which alone pulls in Kerberos.
    r"(_tkinter|_test\w*|_ctypes_test|_xxtestfuzz|xxlimited\w*|_xx\w*|nis)\..*"
)
SHARED_PREFIXES: Final = ("/", "/usr", "/usr/local")
"""Prefixes that say nothing about a machine."""


def collect_base(interpreter: Interpreter) -> list[Entry]:
    """Return the entries of the base layer, without bytecode; every file carries its digest.

    Libraries that cannot be resolved drop the extension module that wants them; for the executable
    itself, and for libstdc++, it is a `HostRuntimeError`.
    """
    facts = interpreter.facts
    library = f"{PYTHON_HOME}/{facts.platlibdir}/{interpreter.name}"
    dynload = Path(facts.platstdlib) / "lib-dynload"
    extensions = _extensions(dynload)
    libraries, loader, extensions = _closure(interpreter.executable, extensions)
    own = _Runtime(facts.prefix)
    entries: list[Entry] = [
        own.file(PYTHON, interpreter.executable, 0o755),
        Link(f"{PYTHON_HOME}/bin/{interpreter.name}", "python3"),
        own.file(str(loader), loader, 0o755),
        File(*_sysconfig_module(interpreter, library)),
        Directory(f"{library}/lib-dynload"),
    ]
    entries += [own.file(f"{LIBRARIES}/{name}", path, 0o755) for name, path in libraries.items()]
    entries += [own.file(f"{library}/lib-dynload/{path.name}", path, 0o644) for path in extensions]
    root = Path(facts.stdlib)
    entries += [
        own.file(f"{library}/{path.relative_to(root).as_posix()}", path, 0o644)
        for path in _standard_library(root)
    ]
    return entries + system_files()


def _extensions(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []  # a Python may have all its extension modules built in
    return sorted(path for path in folder.glob("*.so") if not LEFT_OUT_EXTENSIONS.fullmatch(path.name))


def _closure(executable: Path, extensions: Sequence[Path]) -> tuple[dict[str, Path], Path, list[Path]]:
    """Return the libraries by name, the loader, and the extension modules whose libraries are all there."""
    linked = linkage_of([executable, *extensions])
    main = linked.pop(executable)
    if main.loader is None or main.missing or not main.libraries:
        raise HostRuntimeError(
            f"its shared libraries cannot be resolved {', '.join(main.missing)}".rstrip(),
            where="the running Python",
            fix="Use a dynamically linked Python whose libraries ldd can find.",
        )
    usable = [path for path in extensions if not linked[path].missing]
    libraries = dict(main.libraries)
    for path in usable:
        libraries |= linked[path].libraries
    folders = list(dict.fromkeys(path.parent for path in libraries.values()))
    expected = expected_by_wheels([*folders, *_system_folders(main.loader)])
    for path in (linkage := linkage_of(list(expected.values()))):
        libraries |= linkage[path].libraries
    libraries |= expected
    libraries.pop(main.loader.name, None)
    return libraries, main.loader, usable


def _system_folders(loader: Path) -> list[Path]:
    names = [loader.parent, loader.resolve().parent, *map(Path, ("/usr/lib64", "/lib64", "/usr/lib", "/lib"))]
    return [
        *names,
        *(path for root in ("/usr/lib", "/lib") for path in sorted(Path(root).glob("*-linux-gnu*"))),
    ]


def _standard_library(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if not path.is_symlink() and not LEFT_OUT_FOLDERS.fullmatch(path.name):
                yield from _standard_library(path)
        elif path.is_file() and not LEFT_OUT_FILES.fullmatch(path.name):
            yield path


def _sysconfig_module(interpreter: Interpreter, library: str) -> tuple[str, Content, int, str]:
    """Return a table for `sysconfig` that tells about the image, in place of the machine's own."""
    known = {**interpreter.facts.variables, "prefix": PYTHON_HOME, "exec_prefix": PYTHON_HOME}
    rows = "".join(f"    {name!r}: {known[name]!r},\n" for name in sorted(known))
    text = f"build_time_vars = {{\n{rows}}}\n".encode()
    return f"{library}/{interpreter.facts.sysconfigdata}.py", from_bytes(text), 0o644, sha256(text)


def system_files() -> list[Entry]:
    """Return the users and the folders that every image of ours has."""
    texts = {
        "/etc/passwd": f"root:x:0:0:root:/:/nonexistent\nheadland:x:{USER_ID}:{USER_ID}::/:/nonexistent\n",
        "/etc/group": f"root:x:0:\nheadland:x:{USER_ID}:\n",
    }
    files = [
        File(path, from_bytes(text.encode()), 0o644, sha256(text.encode())) for path, text in texts.items()
    ]
    folders = [Directory(path) for path in ("/dev", "/proc", "/run/headland", "/sys", "/var/headland")]
    return [*files, *folders, Directory("/tmp", 0o1777)]  # noqa: S108  a mount point in the image


class _Runtime:
    """Reads files of the runtime; programs lose this machine's install prefix and their debugging data."""

    def __init__(self, prefix: str) -> None:
        self._prefix = "" if prefix in SHARED_PREFIXES else prefix

    def file(self, path: str, source: Path, mode: int) -> File:
        program = self._program(source)
        if program is not None:
            return File(path, self._content(source), mode, sha256(program))
        return File(path, from_path(source), mode, digest_of(source))

    def _content(self, source: Path) -> Content:
        def content() -> tuple[BinaryIO, int] | None:
            # Read again when it is written, so that planning holds one program at a time.
            return from_bytes(self._program(source) or b"")()

        return content

    def _program(self, source: Path) -> bytes | None:
        with source.open("rb") as stream:
            if stream.read(len(elf.MAGIC)) != elf.MAGIC:
                return None
        program = elf.trimmed(source.read_bytes())
        return elf.without_prefix(program, self._prefix) if self._prefix else program
