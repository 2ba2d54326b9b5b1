"""How commands print: tables for people, JSON for programs, errors on stderr in either form."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.table import Table

from contract.errors import FieldProblem, HeadlandError


class Format(StrEnum):
    """What ``--output`` takes."""

    TEXT = "text"
    JSON = "json"


class _Chosen:
    """The format of the command that runs: one command runs in a process."""

    format = Format.TEXT


def _choose(value: Format) -> Format:
    _Chosen.format = value
    return value


Output = Annotated[
    Format, typer.Option("--output", "-o", help="How to print.", callback=_choose, is_eager=True)
]

# What goes into a file or a pipe is not cut to the width of a terminal.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
progress_console = Console(stderr=True, highlight=False)


def as_json() -> bool:
    """Is JSON asked for?"""
    return _Chosen.format is Format.JSON


def show(value: Any, text: str) -> None:  # noqa: ANN401  anything that JSON can say
    """Print one result: ``value`` as JSON, or ``text``."""
    if as_json():
        sys.stdout.write(json.dumps(msgspec.to_builtins(value)) + "\n")
    else:
        console.print(text, markup=False, soft_wrap=True)


def show_table(values: Sequence[Any], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print many results: ``values`` as a JSON list, or ``rows`` under ``columns`` as a table."""
    if as_json():
        sys.stdout.write(json.dumps(msgspec.to_builtins(list(values))) + "\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    console.print(table)


def cell(value: object) -> str:
    """Return what a table shows of a value."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def bar_of(*columns: ProgressColumn) -> Progress:
    """Return a progress bar on standard error; none where nobody looks at it."""
    hidden = as_json() or not progress_console.is_terminal
    shown = (TextColumn("{task.description}"), BarColumn(), *columns)
    return Progress(*shown, console=progress_console, transient=True, disable=hidden)


def size(size_bytes: int) -> str:
    """Return bytes in the unit that people read."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 1000**2:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1000**2:.1f} MB"


def show_error(error: HeadlandError, file: str = "") -> None:
    """Print an error on stderr: what, where, why and what to do; as JSON where that is asked for."""
    faults: tuple[FieldProblem, ...] = getattr(error, "errors", ())
    if as_json():
        body = {
            "error": error.code,
            "detail": error.what,
            "where": error.where or file,
            "fix": error.fix,
            "retriable": error.retriable,
            "errors": msgspec.to_builtins(faults),
        }
        sys.stderr.write(json.dumps(body) + "\n")
        return
    head = f"{error.where or file}: {error.what}" if error.where or file else error.what
    lines = [f"error: {head} [{error.code}]"]
    for fault in faults:
        place = f"line {fault.line}, " if fault.line else ""
        lines.append(f"  {place}{fault.field}: {fault.reason}")
    if error.fix:
        lines.append(f"  {error.fix}")
    sys.stderr.write("\n".join(lines) + "\n")
