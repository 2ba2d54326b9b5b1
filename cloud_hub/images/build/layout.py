"""Where things are inside an image."""

import posixpath
from typing import Final

from cloud_hub.images.build.errors import BuildError

PYTHON_HOME: Final = "/opt/python"
PYTHON: Final = f"{PYTHON_HOME}/bin/python3"
LIBRARIES: Final = f"{PYTHON_HOME}/lib"
APP: Final = "/opt/headland/app"
SITE_PACKAGES: Final = "/opt/headland/site-packages"
MODEL_DIR: Final = "/var/headland/model"
SCRIPT: Final = "/var/headland/script/score.py"
USER_ID: Final = 65532
FORMAT: Final = 1
"""Part of every cache key: raise it when the same inputs shall give other layers."""


def check_member(path: str) -> str:
    """Return ``path`` if it is a plain absolute path that stays where it says, else raise `BuildError`."""
    plain = (
        path.startswith("/")
        and path != "/"
        and posixpath.normpath(path) == path
        and not path.startswith("//")
    )
    if not plain or not path.isprintable() or "\\" in path:
        raise BuildError("a path for the image is not plain", where="layer", fix="Rename the file.")
    return path
