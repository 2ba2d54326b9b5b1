"""The last that a container printed: where one stopped by itself, that mostly says why."""

from pathlib import Path
from typing import Final

LAST_WORDS_BYTES: Final = 4096
NOTHING: Final = "-"


def last_words(log_file: Path) -> str:
    """Return the last line in a container's log, shortened, or a dash.

    It may have been set aside just before.
    """
    newest = last_line(log_file)
    return newest if newest != NOTHING else last_line(log_file.with_name(f"{log_file.name}.1"))


def last_line(log_file: Path) -> str:
    """Return the last line of a file, shortened, or a dash."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, log_file.stat().st_size - LAST_WORDS_BYTES))
            lines = file.read(LAST_WORDS_BYTES).decode(errors="replace").strip().splitlines()
    except OSError:
        return NOTHING
    return lines[-1][:300] if lines else NOTHING
