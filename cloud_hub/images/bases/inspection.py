"""Looks through a base's layers in a confined child."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cloud_hub.archives.errors import ArchiveStorageError
from cloud_hub.archives.limits import ArchiveLimits
from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.limits import MIB, ChildLimits
from cloud_hub.confinement.run import run_confined
from cloud_hub.images.bases.errors import BaseRefusedError, BaseUnfitError
from cloud_hub.images.bases.ports import BasePython

WALK: Final = "cloud_hub.images.bases.layer_walk"
LAYERS: Final = ArchiveLimits(max_entries=1_000_000, max_total_bytes=16 * 1024 * MIB, max_header_bytes=MIB)
CHILD: Final = ChildLimits(
    memory_bytes=768 * MIB, cpu_s=600, wall_s=1200.0, open_files=16, answer_bytes=64 * 1024
)


def look_through(
    layers: Sequence[Path], environment: Sequence[str], platform: str, *, where: str
) -> tuple[list[str], BasePython]:
    """Return the diff ids of layers (files, lowest first) and the Python in them; blocks for seconds.

    Raises `BaseRefusedError`, `BaseUnfitError`, `ArchiveStorageError`.
    """
    request: dict[str, Any] = {
        "layers": [str(path.absolute()) for path in layers],
        "environment": list(environment),
        "platform": platform,
        "limits": dataclasses.asdict(LAYERS),
    }
    try:
        answer = run_confined(WALK, request, CHILD)
    except ChildLostError as error:
        raise BaseRefusedError(
            f"its layers cannot be read: {error.what}", where=where, fix="Check where the base comes from."
        ) from error
    if "errno" in answer:
        raise ArchiveStorageError(
            f"a layer cannot be read ({os.strerror(answer['errno'])})", where=where, fix="Build again."
        )
    if "layer" in answer:
        raise BaseRefusedError(
            f"its layer {answer['layer'] + 1} is refused: {answer['what']}",
            where=where,
            fix="Check where the base comes from.",
        )
    if "unfit" in answer:
        raise BaseUnfitError(
            answer["unfit"],
            where=where,
            fix="Take a base with CPython 3.11 or later over glibc, such as python:3.12-slim.",
        )
    return list(answer["diff_ids"]), BasePython(**answer["python"])
