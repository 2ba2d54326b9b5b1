"""HTTP: workspaces, and tokens for them."""

from datetime import datetime, timedelta
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from cloud_hub.api.auth import Administrator, Authenticated, Hub, Owner, Reader
from cloud_hub.api.schemas import Answer, Ask

router = APIRouter(prefix="/workspaces", tags=["workspaces"])


class WorkspaceAsk(Ask):
    """A new workspace."""

    name: str


class WorkspaceAnswer(Answer):
    """A workspace."""

    name: str
    created_at: datetime


class TokenAsk(Ask):
    """A new token: for whom, with which role, for how long."""

    principal: str = Field(min_length=1, max_length=200)
    role: Literal["Owner", "Contributor", "Reader"]
    days: int = Field(default=30, ge=1, le=366)


class TokenAnswer(Answer):
    """The token's secret; it is shown this once."""

    token: str


@router.post("", status_code=201)
def create(ask: WorkspaceAsk, hub: Hub, _: Administrator) -> WorkspaceAnswer:
    """Make a workspace."""
    return WorkspaceAnswer.model_validate(hub.workspaces.create(ask.name))


@router.get("")
def visible(hub: Hub, caller: Authenticated) -> list[WorkspaceAnswer]:
    """Return the workspaces that the caller may see."""
    return [WorkspaceAnswer.model_validate(row) for row in hub.workspaces.visible_to(caller)]


@router.get("/{workspace}")
def show(hub: Hub, who: Reader) -> WorkspaceAnswer:
    """Return a workspace."""
    return WorkspaceAnswer.model_validate(hub.workspaces.get(who.workspace))


@router.post("/{workspace}/tokens", status_code=201)
def create_token(ask: TokenAsk, hub: Hub, who: Owner) -> TokenAnswer:
    """Make a token for a person or a service in this workspace."""
    lifetime = timedelta(days=ask.days)
    return TokenAnswer(token=hub.access.create_token(ask.principal, ask.role, who.workspace, lifetime))
