"""Versions of models and images: answers that come in pages, and what a change of one says."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from cloud_hub.sdk.client import Client

PAGE = 500
Item_co = TypeVar("Item_co", covariant=True)


class Paged(Protocol[Item_co]):
    """A page, and the cursor of the one behind it."""

    @property
    def items(self) -> Sequence[Item_co]:
        """Return what is on the page."""
        ...

    @property
    def next(self) -> str | None:
        """Return the cursor of the page behind it, if there is one."""
        ...


def items_of(
    client: Client, path: str, kind: type[Paged[Item_co]], query: Mapping[str, object], limit: int | None
) -> list[Item_co]:
    """Return what is found, from as many pages as it takes: ``limit`` items, or all."""
    found: list[Item_co] = []
    cursor: str | None = None
    while limit is None or len(found) < limit:
        most = PAGE if limit is None else min(PAGE, limit - len(found))
        page = client.get(path, kind, **query, cursor=cursor, limit=most)
        found += page.items
        cursor = page.next
        if cursor is None:
            break
    return found


def change_of(description: str | None, tags: Mapping[str, str | None] | None) -> dict[str, object]:
    """Return the body that changes a version; what is not said stays, a tag of None goes."""
    said: dict[str, object] = {"tags": dict(tags or {})}
    return said if description is None else said | {"description": description}
