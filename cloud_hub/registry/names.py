"""Names of repositories, ``{workspace}/{image}``, and of tags. Pure."""

import re
from typing import Final

TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
VERSION: Final = re.compile(r"[0-9]{1,9}")
REPOSITORY: Final = re.compile(r"[a-z0-9-]{1,63}/[a-z0-9-]{1,63}")


def repository_of(workspace: str, image: str) -> str:
    """Return the repository of an image."""
    return f"{workspace}/{image}"


def workspace_of(repository: str) -> str:
    """Return the workspace that a repository is in."""
    return repository.partition("/")[0]


def version_of(tag: str) -> int | None:
    """Return the version that a tag looks like: 1 to 9 digits."""
    return int(tag) if VERSION.fullmatch(tag) else None


def image_of(repository: str) -> str:
    """Return the name of the image that a repository is of."""
    return repository.partition("/")[2]
