"""Times of the day at which pulls may run: pure, told the time."""

import re
from dataclasses import dataclass
from datetime import time
from typing import Final

DAY_MINUTES: Final = 24 * 60
PATTERN: Final = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d\Z"


@dataclass(frozen=True)
class Window:
    """From minute ``start`` of the day up to, not including, ``end``; over midnight where that is less."""

    start: int
    end: int

    def __str__(self) -> str:
        """Return it as it is written in the settings."""
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.start, self.end))

    def holds(self, minute: int) -> bool:
        """Is this minute of the day inside?"""
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


def read_window(text: str) -> Window:
    """Read ``HH:MM-HH:MM``; raises ValueError, also for a window without a minute in it."""
    if not re.match(PATTERN, text):
        raise ValueError("a window is HH:MM-HH:MM, from 00:00 to 23:59")
    start, end = (int(half[:2]) * 60 + int(half[3:]) for half in text.split("-"))
    if start == end:
        raise ValueError("a window begins and ends at one minute; leave it out for the whole day")
    return Window(start, end)


def next_window(windows: tuple[Window, ...], at: time) -> tuple[Window, int] | None:
    """Return the window that opens next and the seconds until then; none while one is open, or there is none.

    On a day with another length than 24 hours the seconds are wrong by the difference: look again earlier.
    """
    minute = at.hour * 60 + at.minute
    if not windows or any(window.holds(minute) for window in windows):
        return None
    following = min(windows, key=lambda window: (window.start - minute) % DAY_MINUTES)
    return following, (following.start - minute) % DAY_MINUTES * 60 - at.second
