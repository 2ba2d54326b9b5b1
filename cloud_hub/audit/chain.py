"""The chain as arithmetic: what each MAC covers, and what is wrong with rows. Pure."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Final

from contract.encoding import canonical

START: Final = "0" * 64
"""What stands for the MAC before the first row."""


@dataclass(frozen=True)
class Entry:
    """One row, all of it but its MAC; the order of the fields is part of the format."""

    workspace: str
    sequence: int
    at: str
    principal: str
    action: str
    target: str
    address: str
    request_id: str
    details: str


@dataclass(frozen=True)
class Head:
    """The end of a chain: the number of its rows and the MAC of the last."""

    workspace: str
    count: int
    last: str


@dataclass(frozen=True)
class Fault:
    """What is wrong, at which row; ``sequence`` 0 is the chain's head."""

    sequence: int
    reason: str


def entry_mac(key: bytes, entry: Entry, previous: str) -> str:
    """Return the MAC of a row: HMAC-SHA256 (RFC 2104) over its fields and the MAC before it, in hex."""
    return _mac(key, "entry", *astuple(entry), previous)


def head_mac(key: bytes, head: Head) -> str:
    """Return the MAC of a head. No row's bytes can be a head's: the kind stands first."""
    return _mac(key, "head", *astuple(head))


def is_head(key: bytes, head: Head, mac: object) -> bool:
    """Is ``mac`` the MAC of ``head``, whose fields have the right types?"""
    return _typed(head) and same(head_mac(key, head), mac)


def same(expected: str, found: object) -> bool:
    """Compare MACs in constant time; anything may stand in the database."""
    return isinstance(found, str) and hmac.compare_digest(expected.encode(), found.encode("utf-8", "replace"))


class Walk:
    """Judges the rows of one chain in the order of their sequence, page after page, then its head."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._previous = START
        self._sure = True  # is ``previous`` the MAC of the row right before?
        self.count = 0

    @property
    def last(self) -> str:
        """The MAC of the last row seen, as stored."""
        return self._previous

    def rows(self, rows: Iterable[tuple[Entry, object]]) -> Iterator[Fault]:
        """Yield the faults of rows, given with their stored MACs."""
        for entry, mac in rows:
            yield from self._row(entry, mac)

    def _row(self, entry: Entry, mac: object) -> Iterator[Fault]:
        if type(entry.sequence) is not int or entry.sequence <= self.count:
            yield Fault(self.count + 1, "a row stands here that has no place in the chain")
            return
        if entry.sequence > self.count + 1:
            yield Fault(self.count + 1, _missing(self.count + 1, entry.sequence - 1))
            self._sure = False
        if not _typed(entry) or (self._sure and not same(entry_mac(self._key, entry, self._previous), mac)):
            yield Fault(entry.sequence, "the row was changed, moved, or not written by this hub")
        # The next row is judged by what is stored here, so that one bad row is one fault.
        self.count, self._previous, self._sure = entry.sequence, mac if isinstance(mac, str) else "", True

    def head(self, head: Head | None, mac: object) -> Iterator[Fault]:
        """Yield what is wrong with the end; a chain without rows has no head."""
        if head is None:
            if self.count:
                yield Fault(0, "the head of the chain is missing")
            return
        if not is_head(self._key, head, mac):
            yield Fault(0, "the head of the chain was changed")
        elif head.count > self.count:
            yield Fault(self.count + 1, _missing(self.count + 1, head.count))
        elif head.count < self.count:
            yield Fault(head.count + 1, "rows stand behind the end of the chain, or its head is an old one")
        elif not same(head.last, self._previous):
            yield Fault(self.count, "the last row is not the one that the head names")


def _mac(key: bytes, *parts: object) -> str:
    return hmac.new(key, canonical(["headland/audit/1", *parts]), hashlib.sha256).hexdigest()


def _typed(value: Entry | Head) -> bool:
    """Has every field the type that was written? A database may hold others (SQLite does not check)."""
    return all(
        type(field) is (int if name in {"sequence", "count"} else str) for name, field in vars(value).items()
    )


def _missing(first: int, last: int) -> str:
    return "the row is missing" if first == last else f"the rows {first} to {last} are missing"
