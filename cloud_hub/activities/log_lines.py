"""What goes into an activity's log: printable lines, up to a bound that the log itself tells of. Pure."""

from dataclasses import dataclass
from datetime import datetime

MAX_LINES = 2_000
MAX_LOG_BYTES = 256 * 1024
MAX_LINE_BYTES = 4 * 1024
CUT = "(the log ends here: it has reached its bound)"


@dataclass(frozen=True)
class LogLine:
    """One line."""

    number: int
    at: datetime
    text: str


@dataclass
class LogLength:
    """How long a log is; it gives out the next lines until the bound is reached."""

    lines: int = 0
    size_bytes: int = 0

    def next_lines(self, text: str, at: datetime) -> list[LogLine]:
        """Return the lines that ``text`` becomes; none once the log is full."""
        found = []
        for part in text.splitlines() or [""]:
            if self.lines >= MAX_LINES or self.size_bytes >= MAX_LOG_BYTES:
                break
            line = printable(part)
            full = self.lines == MAX_LINES - 1 or self.size_bytes + _size(line) > MAX_LOG_BYTES
            # The line that says it counts as all that was left, so that none can follow.
            self.size_bytes = MAX_LOG_BYTES if full else self.size_bytes + _size(line)
            self.lines += 1
            found.append(LogLine(self.lines, at, CUT if full else line))
        return found


def printable(text: str) -> str:
    """Return one line without control characters, cut to `MAX_LINE_BYTES` of UTF-8."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    cut = plain.encode(errors="replace")[:MAX_LINE_BYTES].decode(errors="ignore")
    return cut if cut == plain else f"{cut}…"


def _size(line: str) -> int:
    return len(line.encode()) + 1
