"""Which Python an image has and whether it can run the scoring server, from the image's files. Pure."""

import posixpath
import re
from collections.abc import Sequence
from typing import Final, Literal

from cloud_hub.images.bases.errors import BaseUnfitError
from cloud_hub.images.bases.image_tree import ImageTree, Node
from cloud_hub.images.bases.ports import BasePython

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OLDEST_MINOR: Final = 11
"""What the scoring server runs on: Python 3.11 and later."""
PROGRAM: Final = re.compile(r"python3?(?:\.[0-9]{1,2})?")
VERSIONED: Final = re.compile(r"python3\.([0-9]{1,2})")
LIBRARY: Final = re.compile(r"(.*?)/?lib(?:64)?/python3\.([0-9]{1,2})/os\.py")
MACHINES: Final = {"amd64": "62", "arm64": "183"}
"""ELF's numbers of machines, by Go's names (``e_machine``: EM_X86_64, EM_AARCH64)."""


def find_python(tree: ImageTree, environment: Sequence[str], platform: str, *, where: str) -> BasePython:
    """Return the Python that ``PATH`` of the image finds first; raises `BaseUnfitError`."""
    path = next((one.partition("=")[2] for one in environment if one.startswith("PATH=")), DEFAULT_PATH)
    problem = "it has no Python on its PATH"
    for folder in path.split(":"):
        for name in ("python3", "python"):
            found = tree.resolve(posixpath.join(folder, name)) if folder.startswith("/") else ""
            node = tree.nodes.get(found)
            if node is None:
                continue
            problem = _problem_of(found, node)
            if not problem:
                return _described(tree, found, node, platform, where)
    raise _unfit(problem, where)


def _problem_of(path: str, node: Node) -> str:
    if not PROGRAM.fullmatch(posixpath.basename(path)):
        return "its Python is not CPython"
    if "machine" not in node.facts or not node.executable:
        return "its Python is not a program but a script, or may not be run"
    return ""


def _described(tree: ImageTree, path: str, node: Node, platform: str, where: str) -> BasePython:
    if node.facts["machine"] != MACHINES.get(platform.partition("/")[2]):
        raise _unfit(f"its Python is not made for {platform}", where)
    minor = _minor_of(tree, path, where)
    if minor < OLDEST_MINOR:
        raise _unfit(
            f"its Python is 3.{minor}, and the scoring server needs 3.{OLDEST_MINOR} or later", where
        )
    loader = node.facts.get("loader", "")
    libc: Literal["glibc", "musl"] = "musl" if "ld-musl-" in loader else "glibc"
    if libc == "musl":
        raise _unfit("its C library is musl, for which there are no wheels of the scoring server", where)
    if not posixpath.basename(loader).startswith("ld-linux"):
        raise _unfit("its Python is linked in a way that wheels do not fit", where)
    if not tree.nodes.get(tree.resolve(loader)):
        raise _unfit("its Python's loader is missing", where)
    told = {one for node in tree.nodes.values() for one in node.facts.get("python", "").split()}
    full_versions = sorted(one for one in told if one.startswith(f"3.{minor}."))
    versions = [
        tuple(map(int, node.facts["glibc"].split(".")))
        for node in tree.nodes.values()
        if "glibc" in node.facts
    ]
    if not versions:
        raise _unfit("its C library is not there, or does not say its version", where)
    return BasePython(
        path=f"/{path}",
        version=f"3.{minor}",
        full_version=full_versions[0] if len(full_versions) == 1 else f"3.{minor}.0",
        cache_tag=f"cpython-3{minor}",
        libc=libc,
        libc_version=".".join(map(str, min(versions))),
    )


def _minor_of(tree: ImageTree, path: str, where: str) -> int:
    """Return the minor version: the name's, with its library; else that of the only library beside it."""
    prefix = posixpath.dirname(posixpath.dirname(path))
    found = set()
    for one in tree.nodes:
        library = LIBRARY.fullmatch(one)
        # /bin and /lib may be links to those in /usr.
        if library and library[1] in {prefix, f"{prefix}/usr".lstrip("/")}:
            found.add(int(library[2]))
    named = VERSIONED.fullmatch(posixpath.basename(path))
    if named is not None:
        found &= {int(named[1])}
    if len(found) != 1:
        raise _unfit("its Python has no standard library, or several", where)
    return found.pop()


def _unfit(what: str, where: str) -> BaseUnfitError:
    return BaseUnfitError(
        f"the base cannot run the scoring server: {what}",
        where=where,
        fix="Take a base with CPython 3.11 or later over glibc, such as python:3.12-slim.",
    )
