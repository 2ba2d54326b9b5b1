"""Webhooks of a workspace, for its Owners."""

from collections.abc import Sequence

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.types import Delivery, NewWebhook, Webhook


class Webhooks:
    """Addresses that are told what happens."""

    def __init__(self, client: Client, workspace: str) -> None:
        self._client = client
        self._path = f"/workspaces/{workspace}/webhooks"

    def create(self, url: str, events: Sequence[str] = ()) -> NewWebhook:
        """Add a webhook for these events (none: every end of an activity); keep its secret."""
        return self._client.post(self._path, {"url": url, "events": list(events)}, NewWebhook)

    def all(self) -> list[Webhook]:
        """Return the webhooks, oldest first."""
        return self._client.get(self._path, list[Webhook])

    def delete(self, webhook: str) -> None:
        """Forget a webhook and what it was to be told."""
        self._client.delete(f"{self._path}/{webhook}")

    def deliveries(self, webhook: str, limit: int = 100) -> list[Delivery]:
        """Return what it was told and is to be told, newest first."""
        return self._client.get(f"{self._path}/{webhook}/deliveries", list[Delivery], limit=limit)

    def test(self, webhook: str) -> Delivery:
        """Send it an event `webhook.test`; look into `deliveries` for how it went."""
        return self._client.post(f"{self._path}/{webhook}/test", {}, Delivery)
