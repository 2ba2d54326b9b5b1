"""Requests to one registry, with its credential, and what its answers mean."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urljoin

from cloud_hub.oci_client.errors import (
    RegistryContentError,
    RegistryDeniedError,
    RegistryError,
    RegistryNotFoundError,
)
from cloud_hub.oci_client.login import Login
from cloud_hub.oci_client.rules import RegistryRules
from cloud_hub.oci_client.tokens import Tokens
from cloud_hub.outbound.client import Opened, Outbound, OutboundLimits
from cloud_hub.outbound.policy import target_of

SMALL: Final = OutboundLimits(total_s=30.0, max_answer_bytes=64 * 1024)
HOPS: Final = 3
Body = bytes | Callable[[], Iterator[bytes]]
"""Bytes, or what opens them anew each time that they are sent."""


class RegistryRequests:
    """One registry; safe to use from several threads. It blocks."""

    def __init__(
        self,
        outbound: Outbound,
        registry: str,
        login: Login | None = None,
        rules: RegistryRules | None = None,
    ) -> None:
        self.registry = registry
        self._outbound = outbound
        rules = rules or RegistryRules()
        self._origin = rules.origin_of(registry)
        self._tokens = Tokens(outbound, registry, login, rules)

    @contextmanager
    def ask(
        self,
        method: str,
        path: str,
        *,
        scope: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
        body_bytes: int | None = None,
        limits: OutboundLimits = SMALL,
    ) -> Iterator[Opened]:
        """Send a request to ``path`` (from ``/v2/`` on) and open its answer, logging in where that is asked.

        GET and HEAD follow redirects, without the credential. Raises `RegistryError` and its subclasses
        where the login fails, and what `Outbound.open` does; other statuses are the caller's.
        """
        url = self._origin + path
        credential = self._tokens.known(scope)
        for last in (False, True):
            with self._outbound.open(
                method,
                url,
                headers=headers,
                body=body if isinstance(body, bytes) else body(),
                body_bytes=body_bytes,
                credential=credential,
                follow=HOPS,
                limits=limits,
            ) as answer:
                mine = target_of(answer.url).origin == target_of(self._origin).origin
                if answer.status != 401 or not mine or last:
                    if answer.status == 401:
                        self._tokens.forget(scope)
                    yield answer
                    return
                challenges = answer.all_of("www-authenticate")
            credential = self._tokens.answer_to(challenges, scope)

    def path_of(self, location: str, base: str) -> str:
        """Return the path of an address that the registry named for the next step of an upload.

        It stays at the registry: raises `RegistryContentError` for another host.
        """
        target, own = target_of(urljoin(self._origin + base, location)), target_of(self._origin)
        if not location or target.host != own.host:
            raise RegistryContentError(
                "the registry wants an upload sent to another host",
                where=self.registry,
                fix="Use another one.",
            )
        return target.path

    def failed(self, answer: Opened, what: str) -> RegistryError:
        """Return the error that an answer is told as; ``what`` is what was asked for."""
        status, where = answer.status, self.registry
        if target_of(answer.url).origin != target_of(self._origin).origin:
            return RegistryError(f"{what}: where the registry leads to answered {status}", where=where)
        if status in {401, 403}:
            return RegistryDeniedError(
                f"{what}: the registry does not allow it ({status})",
                where=where,
                fix="Check the credential and its rights.",
            )
        if status == 404:
            return RegistryNotFoundError(
                f"{what}: the registry does not have it, or does not show it",
                where=where,
                fix="Check the reference; a private image needs a secret.",
            )
        return RegistryError(f"{what}: the registry answered {status}", where=where, fix="Try again later.")


def scope_of(repository: str, *actions: str) -> str:
    """Return the scope of a token."""
    return f"repository:{repository}:{','.join(actions)}"
