"""Layers unpacked, and deltas applied, in a confined child: their bytes come from elsewhere.

A fault in a decompressor, or in our own reading of a tar, then has no network, no capability, and no place to
write but the folder of the layer that is not yet one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agent.artifacts.errors import (
    ArtifactError,
    DiskTooSmallError,
    ExtractionLostError,
    LayerRefusedError,
    RecipeUnusableError,
    StorageError,
)
from agent.artifacts.store import ContentStore
from agent.confinement.run import ChildLostError, run_confined
from contract.delta.container import DeltaError

WORK: Final = "agent.artifacts.unpacking"
ERRORS: Final[dict[str, type[ArtifactError]]] = {
    each.code: each for each in (LayerRefusedError, DiskTooSmallError, StorageError, RecipeUnusableError)
}


@dataclass(frozen=True)
class OldLayer:
    """What a delta is applied to."""

    diff_id: str
    folder: Path
    recipe: Path


@contextmanager
def extracted(source: Path, diff_id: str, store: ContentStore, old: OldLayer | None = None) -> Iterator[str]:
    """Unpack ``source``, or apply it as a delta to ``old``; yield the diff id of what it made.

    It becomes the layer ``diff_id`` when the block ends well, so the block is to compare. Raises
    `ArtifactError` and `DeltaError`.
    """
    with store.new_layer(diff_id) as folder:
        recipe = store.recipe_beside(folder)
        recipe.touch()
        request: dict[str, Any] = {
            "source": str(source.absolute()),
            "target": str(folder.absolute()),
            "recipe": str(recipe.absolute()),
            "work_dir": str(store.work_dir.absolute()),
            "reserve": asdict(store.room.reserve),
            "diff_id": diff_id,
        }
        places = [folder]
        if old is not None:
            request["old"] = {
                "diff_id": old.diff_id,
                "folder": str(old.folder.absolute()),
                "recipe": str(old.recipe.absolute()),
            }
            places.append(store.work_dir)
        answer = _ask(request, places, recipe)
        if not answer["usable"]:
            recipe.unlink()
        yield str(answer["diff_id"])


def _ask(request: dict[str, Any], folders: list[Path], recipe: Path) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = run_confined(WORK, request, folders=folders, files=[recipe])
    except ChildLostError as error:
        if error.ending == "failed":
            raise ExtractionLostError(
                f"the child that unpacks was lost: {error}",
                fix="It is tried again. Is there enough memory?",
            ) from error
        raise LayerRefusedError(f"it cannot be unpacked: {error}") from error
    if "error" in answer:
        if answer["error"] == DeltaError.code:
            raise DeltaError(str(answer["what"]))
        kind = ERRORS.get(str(answer["error"]), ArtifactError)
        raise kind(str(answer["what"]), where=str(answer["where"]), fix=str(answer["fix"]))
    return answer
