"""HTTP: webhooks."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import Field

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask

router = guarded_router(f"{WORKSPACE}/webhooks", "webhooks")


class WebhookAsk(Ask):
    """An address and which events it is told; none given: every end of an activity."""

    url: str
    events: list[str] = Field(default_factory=list)


class WebhookAnswer(Answer):
    """A webhook; ``state`` is active, or gone after an answer 410."""

    id: str
    url: str
    events: list[str]
    state: str
    created_by: str
    created_at: datetime


class NewWebhookAnswer(WebhookAnswer):
    """A webhook that was just made; ``secret`` is shown this once."""

    secret: str


class DeliveryAnswer(Answer):
    """One event for one webhook, and how its delivery stands."""

    webhook: str
    sequence: int
    event: str
    state: str
    attempts: int
    status: int | None
    reason: str | None
    created_at: datetime
    next_at: datetime | None
    finished_at: datetime | None


@router.post("", status_code=201)
def create(ask: WebhookAsk, hub: Hub, who: Who) -> NewWebhookAnswer:
    """Add a webhook; its secret is in this answer alone."""
    secret, row = hub.webhooks.create(who.workspace, ask.url, ask.events, who.by)
    return NewWebhookAnswer(**WebhookAnswer.model_validate(row).model_dump(), secret=secret)


@router.get("")
def webhooks(hub: Hub, who: Who) -> list[WebhookAnswer]:
    """Return the webhooks."""
    return [WebhookAnswer.model_validate(row) for row in hub.webhooks.all_in(who.workspace)]


@router.delete("/{webhook}", status_code=204)
def delete(webhook: str, hub: Hub, who: Who) -> None:
    """Forget a webhook and what it was to be told."""
    hub.webhooks.delete(who.workspace, webhook, who.by)


@router.get("/{webhook}/deliveries")
def deliveries(
    webhook: str, hub: Hub, who: Who, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> list[DeliveryAnswer]:
    """Return what it was told and is to be told, newest first."""
    rows = hub.webhooks.deliveries(who.workspace, webhook, limit)
    return [DeliveryAnswer.model_validate(row) for row in rows]


@router.post("/{webhook}/test", status_code=202)
def test(webhook: str, hub: Hub, who: Who) -> DeliveryAnswer:
    """Queue an event `webhook.test`; its delivery tells how it went."""
    return DeliveryAnswer.model_validate(hub.webhooks.test(who.workspace, webhook))
