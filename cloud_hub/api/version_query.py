"""What every search for versioned rows takes over HTTP."""

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from cloud_hub.api.schemas import Ask
from cloud_hub.db.pages import MOST, Order

Texts = Annotated[list[str], Field(max_length=20)]


class VersionQuery(Ask):
    """All that is said must hold; a tag is ``key=value`` or ``key``, a name may be a glob."""

    name: str | None = None
    tag: Texts = Field(default_factory=list)
    digest: str | None = None
    created_by: str | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None
    latest: bool = False
    order: Order = "name"
    limit: Annotated[int, Field(ge=1, le=MOST)] = 100
    cursor: str | None = None

    def wanted(self) -> dict[str, Any]:
        """Return what to find, as a search names it, without what says which page."""
        found = self.model_dump(exclude={"limit", "cursor"})
        return found | {"tags": found.pop("tag")}
