"""Times that come again: five fields as in crontab(5), without its nicknames and its seconds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from contract.errors import ContractError

FIELDS: Final = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    (
        "month", 1, 12,
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    ("day of week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)  # fmt: skip
LONGEST: Final = 100


@dataclass(frozen=True)
class Cron:
    """The values that each field may have; Sunday is 0. ``by_day`` and ``by_weekday``: limited?"""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    by_day: bool
    by_weekday: bool

    def matches(self, local: datetime) -> bool:
        """Is it one of the minutes? Where both days are limited one of them is enough, as in crontab(5)."""
        if local.minute not in self.minutes or local.hour not in self.hours or local.month not in self.months:
            return False
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return (day or weekday) if self.by_day and self.by_weekday else (day and weekday)


def parse_cron(text: str) -> Cron:
    """Read ``minute hour day month weekday``; raises `ContractError` that names the field."""
    words = text.lower().split()
    if len(words) != len(FIELDS) or len(text) > LONGEST:
        raise ContractError("a time has five fields: minute, hour, day of month, month, day of week")
    minutes, hours, days, months, weekdays = (
        _field(word, *field) for word, field in zip(words, FIELDS, strict=True)
    )
    return Cron(
        minutes, hours, days, months,
        frozenset(day % 7 for day in weekdays),
        by_day=words[2] != "*",
        by_weekday=words[4] != "*",
    )  # fmt: skip


def _field(word: str, name: str, least: int, most: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = least, most
        else:
            start = _value(first, name, least, names)
            end = _value(last, name, least, names) if dash else (most if slash else start)
        every = _number(step, name) if slash else 1
        if not least <= start <= end <= most or every < 1:
            raise _wrong(name, part)
        found |= set(range(start, end + 1, every))
    return frozenset(found)


def _value(word: str, name: str, least: int, names: tuple[str, ...]) -> int:
    return least + names.index(word) if word in names else _number(word, name)


def _number(word: str, name: str) -> int:
    if not word.isascii() or not word.isdecimal() or len(word) > 2:
        raise _wrong(name, word)
    return int(word)


def _wrong(name: str, word: str) -> ContractError:
    return ContractError(f"{name}: {word[:20]!r} is none of its values")
