"""What commands share: the workspace option, and a connection to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from cloud_hub.sdk import Hub, Workspace

WorkspaceOption = Annotated[
    str, typer.Option("--workspace", "-w", help="Workspace; else the context's.", envvar="HEADLAND_WORKSPACE")
]


@contextmanager
def workspace(name: str) -> Iterator[Workspace]:
    """Connect to the context's hub and yield a workspace."""
    with Hub.connect() as hub:
        yield hub.workspace(name)


def group(words: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(help=words, no_args_is_help=True, rich_markup_mode=None)
