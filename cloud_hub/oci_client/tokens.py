"""Tokens of registries: which request may carry which credential (Docker's token scheme)."""

import threading
import time
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec

from cloud_hub.oci_client.challenges import Challenge, challenges_of
from cloud_hub.oci_client.errors import CredentialWithheldError, RegistryContentError, RegistryDeniedError
from cloud_hub.oci_client.login import Login
from cloud_hub.oci_client.rules import RegistryRules
from cloud_hub.outbound.client import Credential, Outbound, OutboundLimits
from cloud_hub.outbound.errors import OutboundRefusedError
from cloud_hub.outbound.policy import target_of

LIMITS: Final = OutboundLimits(total_s=30.0, max_answer_bytes=64 * 1024)
DEFAULT_LIFE_S: Final = 60.0
EARLY_S: Final = 10.0
MAX_TOKEN_LETTERS: Final = 16 * 1024


class _Answer(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""
    expires_in: float = DEFAULT_LIFE_S


@dataclass(frozen=True)
class _Token:
    header: str
    until: float


class Tokens:
    """The credentials of one registry; safe to use from several threads."""

    def __init__(self, outbound: Outbound, registry: str, login: Login | None, rules: RegistryRules) -> None:
        self._outbound = outbound
        self._registry = registry
        self._login = login
        self._rules = rules
        self._known: dict[str, _Token] = {}
        self._lock = threading.Lock()

    def known(self, scope: str) -> Credential | None:
        """Return what was good for ``scope`` before, for the registry's own origin."""
        with self._lock:
            token = self._known.get(scope)
        return self._for_registry(token.header) if token and token.until > time.monotonic() else None

    def answer_to(self, challenges: list[str], scope: str) -> Credential:
        """Return what a registry that refused a request for ``scope`` is shown.

        Raises `RegistryDeniedError`, `CredentialWithheldError`, `RegistryContentError` and what
        `Outbound.send` does.
        """
        found = challenges_of(challenges)
        bearer = next((one for one in found if one.scheme == "bearer"), None)
        if self._login is not None and (not self._login.is_password or bearer is None):
            # A token is shown as it is; a password where the registry asks for it itself.
            if self._login.is_password and not any(one.scheme == "basic" for one in found):
                raise self._denied("the registry asks for a login that is neither Basic nor Bearer")
            token = _Token(self._login.header(), float("inf"))
        elif bearer is not None:
            token = self._fetch(bearer, scope)
        else:
            raise self._denied("the registry wants a credential")
        with self._lock:
            self._known[scope] = token
        return self._for_registry(token.header)

    def forget(self, scope: str) -> None:
        """Forget what turned out not to be good."""
        with self._lock:
            self._known.pop(scope, None)

    def _fetch(self, bearer: Challenge, scope: str) -> _Token:
        realm = bearer.get("realm")
        try:
            target = target_of(realm)
        except OutboundRefusedError as error:
            raise self._wrong("the registry names a token service that is no address") from error
        own = target_of(self._rules.origin_of(self._registry)).origin
        if target.scheme != "https" and target.origin != own:
            raise CredentialWithheldError(
                "the registry's token service is not https", where=self._registry, fix="Use https there."
            )
        credential = None
        if self._login is not None:
            if not self._rules.may_see(self._registry, target.origin):
                raise CredentialWithheldError(
                    f"the registry wants its credential sent to another host, {target.origin}",
                    where=self._registry,
                    fix="If that is its token service, let the hub's owner add it to registry_realms.",
                )
            credential = Credential.of(realm, Authorization=self._login.header())
        # Not what the registry asks for: only what is needed.
        asked = {"scope": scope} | ({"service": service} if (service := bearer.get("service")) else {})
        url = str(httpx.URL(realm).copy_merge_params(asked))
        with self._outbound.open("GET", url, credential=credential, limits=LIMITS) as answer:
            if answer.status in {400, 401, 403}:
                raise self._denied("the registry's token service does not accept the credential")
            data = b"".join(answer.chunks)
        return self._read(answer.status, data)

    def _read(self, status: int, data: bytes) -> _Token:
        try:
            found = msgspec.json.decode(data, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = _Answer()
        token = found.token or found.access_token
        if status != 200 or not token or len(token) > MAX_TOKEN_LETTERS or not _is_visible(token):
            raise self._wrong("the registry's token service gave no token")
        life_s = min(max(found.expires_in, EARLY_S + 1), 3600.0)
        return _Token(f"Bearer {token}", time.monotonic() + life_s - EARLY_S)

    def _for_registry(self, header: str) -> Credential:
        return Credential.of(self._rules.origin_of(self._registry), Authorization=header)

    def _denied(self, what: str) -> RegistryDeniedError:
        return RegistryDeniedError(what, where=self._registry, fix="Name a secret with user:password of it.")

    def _wrong(self, what: str) -> RegistryContentError:
        return RegistryContentError(what, where=self._registry, fix="Ask who runs the registry.")


def _is_visible(text: str) -> bool:
    return all("!" <= letter <= "~" for letter in text)
