"""Webhooks go through the hub's one door outward (`cloud_hub.outbound`)."""

from collections.abc import Mapping

from cloud_hub.outbound.client import Outbound, OutboundLimits
from cloud_hub.outbound.policy import Allowed

MAX_ANSWER_BYTES = 64 * 1024


class GuardedOutbound:
    """Connects to public addresses, and to those that the hub's owner ``allowed``."""

    def __init__(self, allowed: tuple[Allowed, ...] = ()) -> None:
        self._allowed = allowed

    def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> int:
        """See `webhooks.ports.Outbound.post`; raises what `Outbound.send` does."""
        limits = OutboundLimits(total_s=timeout_s, max_answer_bytes=MAX_ANSWER_BYTES)
        return Outbound(self._allowed, limits=limits).send("POST", url, headers=headers, body=body).status

    def check(self, url: str) -> None:
        """Raise where the hub would not connect to ``url`` as things are."""
        Outbound(self._allowed).check(url)
