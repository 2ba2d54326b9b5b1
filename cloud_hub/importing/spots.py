"""A document as values that know where they stand in it. Pure."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
PLAIN = re.compile(r"[\w$-]+", re.ASCII)


@dataclass(frozen=True)
class Spot:
    """A value and its path: a mapping of spots, a list of them, or one scalar."""

    path: Path
    value: Any

    def get(self, *keys: str) -> "Spot | None":
        """Return what stands under a key, under another in that, and so on; None where nothing does."""
        here: Spot | None = self
        for key in keys:
            here = here.value.get(key) if here is not None and isinstance(here.value, dict) else None
        return here

    def named(self, key: str) -> "Spot | None":
        """Return what stands under a key whose case is of no matter."""
        found = (spot for name, spot in self.items() if name.lower() == key.lower())
        return next(found, None)

    def items(self) -> Iterator[tuple[str, "Spot"]]:
        """Yield the entries of a mapping; nothing of anything else."""
        yield from self.value.items() if isinstance(self.value, dict) else ()

    def parts(self) -> list["Spot"]:
        """Return the parts of a list; nothing of anything else."""
        return self.value if isinstance(self.value, list) else []

    @property
    def text(self) -> str | None:
        """The text that it is, if it is one."""
        return self.value if isinstance(self.value, str) else None

    @property
    def number(self) -> int | float | None:
        """The number that it is, if it is one; a whole number too large to count with is infinite."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            return None
        too_large = isinstance(self.value, int) and abs(self.value) >= 2**63
        return math.copysign(math.inf, self.value > 0 or -1) if too_large else self.value

    def leaves(self) -> Iterator["Spot"]:
        """Yield every scalar and every empty mapping or list in it, itself included."""
        inner = self.value.values() if isinstance(self.value, dict) else self.parts()
        if not inner:
            yield self
        for spot in inner:
            yield from spot.leaves()


def spots(value: object, path: Path = ()) -> Spot:
    """Return a plain value, of bounded depth, as spots."""
    if isinstance(value, Mapping):
        return Spot(path, {str(key): spots(inner, (*path, str(key))) for key, inner in value.items()})
    if isinstance(value, list):
        return Spot(path, [spots(inner, (*path, number)) for number, inner in enumerate(value)])
    return Spot(path, value)


def shown(path: Path) -> str:
    """Return a path as people read it, such as ``modules.camera.env['a.b'][0]``, on one line."""
    words = ""
    for step in path:
        if isinstance(step, int):
            words += f"[{step}]"
        elif PLAIN.fullmatch(step):
            words += f".{step}" if words else step
        else:
            words += "['" + json.dumps(step)[1:-1].replace("'", "\\'") + "']"
    return words or "the document"
