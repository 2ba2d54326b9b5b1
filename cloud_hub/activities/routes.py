"""HTTP: activities."""

from datetime import datetime
from typing import Any

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer

router = guarded_router(f"{WORKSPACE}/activities", "activities")


class ActivityAnswer(Answer):
    """A long operation; ``progress`` from 0 to 1."""

    id: str
    kind: str
    state: str
    progress: float
    log: list[dict[str, str]]
    result: dict[str, Any] | None
    error: dict[str, str] | None
    created_by: str
    created_at: datetime
    finished_at: datetime | None


@router.get("")
def activities(hub: Hub, who: Who) -> list[ActivityAnswer]:
    """Return activities, newest first."""
    return [ActivityAnswer.model_validate(row) for row in hub.activities.all_in(who.workspace)]


@router.get("/{activity}")
def show(activity: str, hub: Hub, who: Who) -> ActivityAnswer:
    """Return one activity with its log."""
    return ActivityAnswer.model_validate(hub.activities.get(who.workspace, activity))
