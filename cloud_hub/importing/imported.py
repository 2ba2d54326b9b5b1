"""What became of each value of a source, and what an import gives. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from cloud_hub.importing.spots import Path, Spot, shown, spots

Kind = Literal["not-carried", "changed"]
UNKNOWN = "there is no counterpart for it here"
BY_HAND = "see what it was for, and whether it is needed"


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """Something of a source that is not carried over, or means something else now.

    ``steps`` is the path as parts, ``path`` the same for people; no field holds a value of the source.
    """

    file: str
    path: str
    what: str
    why: str
    fix: str
    kind: Kind
    steps: Path


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout's manifest as YAML, what is not in it, what is otherwise in it, and what to do before."""

    manifest: str
    not_carried: tuple[Remark, ...]
    changed: tuple[Remark, ...]
    first: tuple[str, ...]
    carried: tuple[Path, ...]


class Ledger:
    """Notes, for one source, what becomes of each of its values."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.remarks: list[Remark] = []
        self._carried: dict[Path, None] = {}
        self._listed: set[Path] = set()
        self._opened: set[Path] = set()

    def carry(self, *given: Spot | None) -> None:
        """Note values, leaf by leaf, that are in the manifest, or say what is so anyway."""
        self._carried.update(
            {leaf.path: None for spot in given if spot is not None for leaf in spot.leaves()}
        )

    def change(self, spot: Spot, what: str, why: str, fix: str) -> None:
        """Note a value that is in the manifest, and means something else there."""
        self.carry(spot)
        self._remark("changed", spot, what, why, fix)

    def leave(self, spot: Spot | None, what: str, why: str, fix: str = BY_HAND) -> None:
        """Note a value, with all that is in it, that is not in the manifest."""
        if spot is not None and spot.path not in self._listed:
            self._listed.add(spot.path)
            self._remark("not-carried", spot, what, why, fix)

    def is_known(self, path: Path) -> bool:
        """Is it said what becomes of the value at a path? What is listed is listed with all that is in it."""
        above = (path[:length] for length in range(len(path) + 1))
        return path in self._opened or path in self._carried or any(one in self._listed for one in above)

    def close(self, root: Spot) -> None:
        """List every leaf that nobody said anything of."""
        for leaf in root.leaves():
            if not self.is_known(leaf.path):
                keys = [step for step in leaf.path if isinstance(step, str)]
                self.leave(leaf, keys[-1] if keys else "the document", UNKNOWN)

    def opened(self, *given: Spot) -> None:
        """Note texts that hold a document of their own: what becomes of them is said of their inside."""
        self._opened.update(spot.path for spot in given)

    @property
    def carried(self) -> tuple[Path, ...]:
        """The paths that are carried over."""
        return tuple(self._carried)

    def _remark(self, kind: Kind, spot: Spot, what: str, why: str, fix: str) -> None:
        remark = Remark(
            file=self.file,
            path=shown(spot.path),
            what=what,
            why=why,
            fix=fix,
            kind=kind,
            steps=spot.path,
        )
        self.remarks.append(remark)


def unaccounted(document: Any, carried: Iterable[Path], listed: Iterable[Path]) -> Iterator[Path]:  # noqa: ANN401
    """Yield the leaves of a plain document that were neither carried nor listed.

    A text that holds a document of its own, as ``createOptions`` does, counts by what is said of its inside.
    """
    exact, whole = set(carried), set(listed)
    texts = {path[:length] for path in exact | whole for length in range(len(path))}
    for leaf in spots(document).leaves():
        above = (leaf.path[:length] for length in range(len(leaf.path) + 1))
        inside = isinstance(leaf.value, str) and leaf.path in texts
        if not inside and leaf.path not in exact and not any(path in whole for path in above):
            yield leaf.path
