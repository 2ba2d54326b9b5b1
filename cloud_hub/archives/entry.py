"""One entry as a reader of a format hands it on."""

from dataclasses import dataclass
from typing import Protocol


class Readable(Protocol):
    """Bytes of a file in an archive, read once from front to end."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; none at the end."""


@dataclass(frozen=True)
class Entry:
    """A file or folder; ``name`` is as the archive spells it, ``size_bytes`` what its header claims.

    ``content`` is valid until the next entry is asked for, and None for a folder.
    """

    name: str
    size_bytes: int
    content: Readable | None
