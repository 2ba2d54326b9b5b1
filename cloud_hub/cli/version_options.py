"""Options that the commands for versioned things share: models and images."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cloud_hub.cli.pairs import Pairs

NewTags = Annotated[Pairs, typer.Option(help="key=value; may be repeated.")]
NewDescription = Annotated[str, typer.Option(help="What it is.")]

NamePattern = Annotated[
    str | None, typer.Argument(metavar="PATTERN", help="A name; * and ? stand for anything.")
]
TagFilter = Annotated[Pairs, typer.Option(help="key=value, or key; may be repeated.")]
After = Annotated[datetime | None, typer.Option(help="Only registered after this time (UTC).")]
Before = Annotated[datetime | None, typer.Option(help="Only registered before this time (UTC).")]
Latest = Annotated[bool, typer.Option("--latest", help="Only the newest version found of each name.")]
Order = Annotated[str, typer.Option(help="name or created; with - before it backwards.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many.")]

Tags = Annotated[Pairs, typer.Argument(metavar="TAG", help="key=value; may be repeated.")]
RemovedTags = Annotated[Pairs, typer.Option(help="The key of a tag to take away; may be repeated.")]
ChangedDescription = Annotated[str | None, typer.Option(help="A new description.")]


def utc(moment: datetime | None) -> datetime | None:
    """Return a time that was typed, which is in UTC."""
    return moment.replace(tzinfo=UTC) if moment else None
