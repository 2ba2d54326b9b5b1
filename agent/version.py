"""The version of this package."""

import sys
from pathlib import Path


def _installed() -> str:
    """Return the version that is installed.

    `importlib.metadata` would tell it too, with a megabyte of memory that stays: the folder's name is enough.
    """
    for place in sys.path:
        for found in Path(place).glob("headland-*.dist-info") if place else ():
            return found.name.removeprefix("headland-").removesuffix(".dist-info")
    from importlib.metadata import version  # noqa: PLC0415

    return version("headland")


VERSION = _installed()
