"""Who a blob may belong to, besides repositories. Pure.

A repository is ``{workspace}/{image}``; the colon, which no name may have, keeps these apart from it.
"""


def uploads_of(workspace: str) -> str:
    """Return the owner of what people upload into a workspace; such a link ends after a time."""
    return f"uploads:{workspace}"


def models_of(workspace: str) -> str:
    """Return the owner of the files of a workspace's models."""
    return f"models:{workspace}"


def outputs_of(workspace: str) -> str:
    """Return the owner of the outputs of a workspace's runs."""
    return f"outputs:{workspace}"


def all_of(workspace: str) -> tuple[str, ...]:
    """Return the owners whose blobs people of a workspace need not send again."""
    return uploads_of(workspace), models_of(workspace), outputs_of(workspace)
