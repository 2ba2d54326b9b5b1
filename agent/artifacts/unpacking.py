"""The work of a confined child: a layer, or a delta, into a folder. Imports little: each is memory.

Requests and answers are JSON, as `agent.artifacts.extraction` writes and reads them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.artifacts.errors import ArtifactError
from agent.artifacts.recipe import RecipeWriter, layer_tar
from agent.artifacts.room import Reserve, Room, storing
from agent.artifacts.unpack import MAX_BYTES, unpack, unpack_tar
from agent.durable import DISK_ERRORS
from contract.delta import container
from contract.delta.applying import pieces
from contract.errors import HeadlandError


def confined(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked; the answer has a diff id and whether the recipe is of use, or an error."""
    work_dir = Path(request["work_dir"])
    room = Room(work_dir, Reserve(**request["reserve"]))
    try:
        with storing(work_dir, only=DISK_ERRORS), Path(request["recipe"]).open("wb") as file:
            recipe = RecipeWriter(file)
            diff_id = (
                _delta(request, recipe, room.watch) if "old" in request else _layer(request, recipe, room)
            )
            return {"diff_id": diff_id, "usable": recipe.finish()}
    except HeadlandError as error:
        return {"error": error.code, "what": error.what, "where": error.where, "fix": error.fix}


def _layer(request: dict[str, Any], recipe: RecipeWriter, room: Room) -> str:
    return unpack(Path(request["source"]), Path(request["target"]), recipe=recipe, watch=room.watch)


def _delta(request: dict[str, Any], recipe: RecipeWriter, watch: Callable[[], None]) -> str:
    old = request["old"]
    with (
        Path(request["source"]).open("rb") as file,
        layer_tar(Path(old["folder"]), Path(old["recipe"]), Path(request["work_dir"])) as tar,
    ):
        header = container.read_header(file)
        told = (header.from_diff_id, header.to_diff_id, header.from_bytes)
        if told != (old["diff_id"], request["diff_id"], tar.size_bytes) or header.to_bytes > MAX_BYTES:
            raise ArtifactError("the delta is for other layers than was offered", where=request["source"])
        source = _Pieces(pieces(file, header, tar.read))
        return unpack_tar(
            source, Path(request["target"]), recipe=recipe, watch=watch, max_bytes=header.to_bytes
        )


class _Pieces:
    """Pieces of bytes, read as a file is."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._piece = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        while not self._piece:
            piece = next(self._source, None)
            if piece is None:
                return b""
            self._piece = memoryview(piece)
        found, self._piece = self._piece[:size], self._piece[size:]
        return bytes(found)
