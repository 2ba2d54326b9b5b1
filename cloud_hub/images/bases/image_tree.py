"""The files of an image as all its layers together leave them, as far as a search for Python needs. Pure.

Layers are applied as the OCI image specification says ("layer.md": whiteouts, opaque whiteouts, a later entry
in place of an earlier one). Kept are links and the files that a caller says something of; of all others only
their going.
"""

import posixpath
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from cloud_hub.archives.errors import ArchiveRefusedError

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
MAX_NODES: Final = 100_000
MAX_HOPS: Final = 40


@dataclass(frozen=True)
class Node:
    """A symbolic link (``target``), or a regular file with what is known of it (``facts``)."""

    target: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    executable: bool = False


@dataclass
class ImageTree:
    """Nodes by plain path without a leading slash."""

    nodes: dict[str, Node] = field(default_factory=dict)
    _layer: set[str] = field(default_factory=set)
    # How many nodes there are below a path: most entries have none, and need no search.
    _below: Counter[str] = field(default_factory=Counter)

    def begin_layer(self) -> None:
        """Start the next layer: its whiteouts mean what lies below it only."""
        self._layer = set()

    def put(self, path: str, node: Node) -> None:
        """Take in a link or a file that matters; raises `ArchiveRefusedError` beyond `MAX_NODES`."""
        self.gone(path)
        if len(self.nodes) == MAX_NODES:
            raise ArchiveRefusedError("many-entries", f"it has more than {MAX_NODES} links")
        self.nodes[path] = node
        self._layer.add(path)
        self._below.update(_above(path))

    def gone(self, path: str) -> None:
        """Something that is no folder is at ``path`` now, or nothing: what was under it is gone too."""
        self._drop(path)
        self._drop_below(path, set())

    def folder(self, path: str) -> None:
        """A folder is at ``path``: what is under it stays."""
        self._drop(path)

    def white_out(self, path: str) -> bool:
        """Apply a whiteout; False where ``path`` is none."""
        folder, name = posixpath.split(path)
        if not name.startswith(WHITEOUT):
            return False
        if name == OPAQUE:
            self._drop_below(folder, self._layer)
            return True
        hidden = posixpath.join(folder, name.removeprefix(WHITEOUT))
        if hidden not in self._layer:
            self._drop(hidden)
        self._drop_below(hidden, self._layer)
        return True

    def _drop(self, path: str) -> None:
        if self.nodes.pop(path, None) is not None:
            self._below.subtract(_above(path))

    def _drop_below(self, path: str, kept: set[str]) -> None:
        if path and not self._below[path]:
            return
        prefix = f"{path}/" if path else ""
        for one in [one for one in self.nodes if one.startswith(prefix) and one not in kept]:
            self._drop(one)

    def resolve(self, path: str) -> str:
        """Return where ``path`` leads through all links, never out; empty where it goes round."""
        left, done, hops = plain(path).split("/"), list[str](), 0
        while left:
            part = left.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            here = "/".join([*done, part])
            target = self.nodes[here].target if here in self.nodes else ""
            if not target:
                done.append(part)
                continue
            hops += 1
            if hops > MAX_HOPS:
                return ""
            if target.startswith("/"):
                done = []
            left = [one for one in target.split("/") if one not in {"", "."}] + left
        return "/".join(done)


def plain(path: str) -> str:
    """Return ``path`` without leading slash, empty parts and dots; what leads out stops at the root."""
    return posixpath.normpath(f"/{path}").lstrip("/")


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
