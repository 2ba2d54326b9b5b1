"""Names of repositories: ``{workspace}/{image}``."""


def repository_of(workspace: str, image: str) -> str:
    """Return the repository of an image."""
    return f"{workspace}/{image}"


def workspace_of(repository: str) -> str:
    """Return the workspace that a repository is in."""
    return repository.partition("/")[0]


def image_of(repository: str) -> str:
    """Return the image that a repository is of."""
    return repository.partition("/")[2]
