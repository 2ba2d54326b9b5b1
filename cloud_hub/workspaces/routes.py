"""HTTP: workspaces."""

from datetime import datetime

from cloud_hub.access.policy import API
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask

router = guarded_router(f"{API}/workspaces", "workspaces")


class WorkspaceAsk(Ask):
    """A new workspace."""

    name: str


class WorkspaceAnswer(Answer):
    """A workspace."""

    name: str
    created_at: datetime


@router.post("", status_code=201)
def create(ask: WorkspaceAsk, hub: Hub, who: Who) -> WorkspaceAnswer:
    """Make a workspace."""
    return WorkspaceAnswer.model_validate(hub.workspaces.create(ask.name, who.by))


@router.get("")
def visible(hub: Hub, who: Who) -> list[WorkspaceAnswer]:
    """Return the workspaces that the caller may see."""
    return [WorkspaceAnswer.model_validate(row) for row in hub.workspaces.visible_to(who.caller)]


@router.get("/{workspace}")
def show(hub: Hub, who: Who) -> WorkspaceAnswer:
    """Return a workspace."""
    return WorkspaceAnswer.model_validate(hub.workspaces.get(who.workspace))
