"""Which shared libraries a set of programs needs, as the machine's own loader resolves them (ldd)."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_hub.images.build.errors import HostRuntimeError
from cloud_hub.images.build.interpreter import trusted_environment

REQUIRED: Final = ("libgcc_s.so.1", "libstdc++.so.6")
OPTIONAL: Final = (
    "libdl.so.2",
    "libm.so.6",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
)
"""With `REQUIRED`: what a manylinux wheel may expect of any machine (PEP 600), without the desktop.

glibc loads the libnss ones by itself; since 2.34 they are empty stubs or gone.
"""

_FOUND = re.compile(r"\t(\S+) => (/.*) \(0x[0-9a-f]+\)")
_LOADER = re.compile(r"\t(/\S+)(?: => /.*)? \(0x[0-9a-f]+\)")
_MISSING = re.compile(r"\t(\S+) => not found")


@dataclass(frozen=True)
class Linkage:
    """What one file needs: libraries by the name they are asked for, the ELF loader, what is missing."""

    libraries: Mapping[str, Path]
    loader: Path | None
    missing: tuple[str, ...]


def linkage_of(files: Sequence[Path]) -> dict[Path, Linkage]:
    """Return what each file needs.

    ldd may run the loader of a file: only for files that are trusted. Raises `HostRuntimeError`.
    """
    try:
        done = subprocess.run(
            ["ldd", *map(str, files)],
            check=False,  # it exits 1 when one of many files is statically linked
            capture_output=True,
            text=True,
            timeout=60,
            env=trusted_environment(),
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        raise HostRuntimeError(
            "ldd could not list shared libraries", where="base layer", fix="Install libc-bin (it has ldd)."
        ) from error
    sections = parse_ldd(done.stdout, first=str(files[0]))
    return {file: sections.get(str(file), Linkage({}, None, ())) for file in files}


def parse_ldd(text: str, *, first: str) -> dict[str, Linkage]:
    """Read the output of ldd in the C locale; ``first`` is the file that lines before any heading are of."""
    lines: dict[str, list[str]] = {first: []}
    current = first
    for line in text.splitlines():
        if line.startswith("\t"):
            lines[current].append(line)
        elif line.endswith(":"):
            current = line.removesuffix(":")
            lines.setdefault(current, [])
    return {name: _parse_section(section) for name, section in lines.items()}


def _parse_section(lines: list[str]) -> Linkage:
    libraries, loader, missing = dict[str, Path](), None, list[str]()
    for line in lines:
        if absent := _MISSING.fullmatch(line):
            missing.append(absent[1])
        elif own := _LOADER.fullmatch(line):
            loader = Path(own[1])
        elif found := _FOUND.fullmatch(line):
            libraries[found[1]] = Path(found[2])
    return Linkage(libraries, loader, tuple(missing))


def expected_by_wheels(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the libraries that compiled wheels expect, from the first of ``folders`` that has each.

    Raises `HostRuntimeError` if one that must be there is in none of them.
    """
    found: dict[str, Path] = {}
    for name in (*REQUIRED, *OPTIONAL):
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is not None:
            found[name] = path
        elif name in REQUIRED:
            raise HostRuntimeError(
                f"{name} is not on this machine, and onnxruntime needs it",
                where="base layer",
                fix="Install it (Debian and Ubuntu: libstdc++6 and libgcc-s1; Fedora: libstdc++ and libgcc).",
            )
    return found
