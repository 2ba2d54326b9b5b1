"""Progress bars of what takes long: on the terminal's error stream, nothing where nobody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cloud_hub.cli.output import as_json, progress_console


@contextmanager
def bytes_bar(words: str, total_bytes: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show how many bytes went over; yield what is told of each piece."""
    hidden = as_json() or not progress_console.is_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=progress_console, transient=True, disable=hidden) as bar:
        task = bar.add_task(words, total=total_bytes)
        yield lambda size_bytes: bar.advance(task, size_bytes)
