"""The files of the base debian, from its packages."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cloud_hub.images.build.base_layer import (
    LEFT_OUT_EXTENSIONS,
    LEFT_OUT_FOLDERS,
    system_files,
)
from cloud_hub.images.build.debian.deb import Unpacked, unpack
from cloud_hub.images.build.debian.packages import PYTHON
from cloud_hub.images.build.elf_needs import needs_of
from cloud_hub.images.build.errors import DebianFetchError
from cloud_hub.images.build.layer_tar import Entry, Link

PROGRAM: Final = f"/usr/bin/python{PYTHON}"
STDLIB: Final = f"/usr/lib/python{PYTHON}"
DYNLOAD: Final = f"{STDLIB}/lib-dynload/"
_LIBRARY: Final = re.compile(
    r"/(usr/)?lib(64)?/([^/]+-linux-gnu/)?[^/]+\.so(\.[^/]+)?|/usr/lib/[^/]+-linux-gnu/ossl-modules/[^/]+\.so"
)
_LICENCE: Final = re.compile(r"/usr/share/doc/[^/]+(/copyright)?")
_LEFT_OUT_FILE: Final = re.compile(r"(site|user)customize\.py|EXTERNALLY-MANAGED|turtle\.py|.*\.(a|o|pyc)")


def wanted(path: str) -> bool:
    """Does an image need this file of a package? Its program, library, standard library, licences."""
    if path.startswith(f"{STDLIB}/"):
        *folders, name = path.removeprefix(f"{STDLIB}/").split("/")
        if folders == ["lib-dynload"]:
            return LEFT_OUT_EXTENSIONS.fullmatch(name) is None
        left_out = any(LEFT_OUT_FOLDERS.fullmatch(folder) for folder in folders)
        return not left_out and _LEFT_OUT_FILE.fullmatch(name) is None
    return path == PROGRAM or any(kind.fullmatch(path) for kind in (_LIBRARY, _LICENCE))


def unpack_runtime(debs: Sequence[Path], root: Path) -> list[Unpacked]:
    """Unpack packages below ``root``, links too; return what is there, without what cannot be loaded.

    An extension module of Python whose libraries are in none of the packages is left out; for any
    other program that is a `DebianFetchError`.
    """
    found = [one for deb in debs for one in unpack(deb, root, wanted)]
    names = {one.path.rpartition("/")[2] for one in found}
    kept = []
    for one in found:
        if one.target or _loads(one, root, names):
            kept.append(one)
        else:
            (root / one.path[1:]).unlink()
    # Last, so that no file was written through a link.
    for one in kept:
        if one.target:
            link = root / one.path[1:]
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(one.target)
    return kept


def entries_of(found: Sequence[Unpacked], root: Path) -> list[Entry]:
    """Return the entries of the layer, without bytecode."""
    names = [Link("/usr/bin/python3", f"python{PYTHON}")]
    return [*(one.entry(root) for one in found), *names, *system_files()]


def _loads(one: Unpacked, root: Path, names: set[str]) -> bool:
    try:
        needs = needs_of((root / one.path[1:]).read_bytes())
    except ValueError as error:
        raise DebianFetchError("a program of a package is damaged", where=one.path) from error
    missing = sorted(set(needs.libraries) - names) if needs is not None else []
    if missing and not one.path.startswith(DYNLOAD):
        raise DebianFetchError(f"no package has {', '.join(missing)}", where=one.path)
    return not missing


def loader_of(root: Path) -> Path:
    """Return the program that starts programs of an unpacked runtime."""
    found = sorted([*root.glob("lib64/ld-linux*.so.*"), *root.glob("lib/ld-linux*.so.*")])
    if not found:
        raise DebianFetchError("it has no loader", where="base debian")
    return found[0]
