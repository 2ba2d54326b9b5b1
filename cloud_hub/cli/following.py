"""An activity on the terminal: a bar, and its log above it; for programs, one line of JSON an event."""

import json
import sys
from types import TracebackType
from typing import Self

import msgspec
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cloud_hub.cli.output import as_json, cell, progress_console
from cloud_hub.sdk import ActivityEvent, Advance, End, Line

NAMES = {Line: "line", Advance: "progress", End: "end"}


class Follower:
    """Shows events as they come; Ctrl-C ends the showing and says that the activity goes on.

    ``streamed``: events are the command's answer, and go to standard output; else its answer comes
    later, and only a terminal sees them.
    """

    def __init__(self, activity: str, *, streamed: bool = True) -> None:
        self._activity = activity
        self._streamed = streamed
        self._terminal = progress_console.is_terminal and not as_json()
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=progress_console, transient=True, disable=not self._terminal)
        self._task = self._bar.add_task("queued", total=1.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if kind is KeyboardInterrupt:
            sys.stderr.write(
                f"the activity goes on; follow it again: headland activity follow {self._activity}\n"
            )

    def __call__(self, event: ActivityEvent) -> None:
        """Show one event."""
        if as_json():
            if self._streamed:
                body = {"event": NAMES[type(event)]} | msgspec.to_builtins(event)
                sys.stdout.write(json.dumps(body) + "\n")
                sys.stdout.flush()
        elif isinstance(event, Line):
            self._line(event)
        elif isinstance(event, Advance):
            self._bar.update(self._task, completed=event.progress)
            if event.state == "queued" or event.cancel_requested:
                words = "stopping" if event.cancel_requested else "queued"
                self._bar.update(self._task, description=words)

    def _line(self, line: Line) -> None:
        if self._terminal:
            self._bar.print(f"{cell(line.at)}  {escape(line.text)}", soft_wrap=True)
            self._bar.update(self._task, description=escape(line.text))
        elif self._streamed:
            sys.stdout.write(f"{cell(line.at)}  {line.text}\n")
            sys.stdout.flush()
