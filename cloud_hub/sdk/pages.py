"""Answers that come in pages."""

from collections.abc import Iterator, Mapping, Sized
from typing import Protocol, TypeVar

from cloud_hub.sdk.client import Client

PAGE = 500


class Paged(Protocol):
    """A page, and the cursor of the one behind it."""

    @property
    def items(self) -> Sized:
        """Return what is on the page."""
        ...

    @property
    def next(self) -> str | None:
        """Return the cursor of the page behind it, if there is one."""
        ...


Page = TypeVar("Page", bound=Paged)


def pages_of(
    client: Client, path: str, kind: type[Page], query: Mapping[str, object], limit: int | None
) -> Iterator[Page]:
    """Yield pages until there are ``limit`` items in them, or all."""
    cursor, left = None, limit
    while left is None or left > 0:
        most = PAGE if left is None else min(PAGE, left)
        page = client.get(path, kind, **query, cursor=cursor, limit=most)
        yield page
        cursor = page.next
        left = left - len(page.items) if left is not None else None
        if cursor is None:
            return
