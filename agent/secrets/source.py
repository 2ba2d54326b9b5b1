"""Where values come from: the hub, over HTTPS with the device's certificate."""

import http.client
import ssl
from http import HTTPStatus
from typing import Protocol

import msgspec

from agent.network.asking import TIMEOUT_S, ask
from agent.network.line import DIRECT, Network
from agent.secrets.errors import SecretGoneError, SecretUnavailableError
from contract.encoding import decode
from contract.errors import ContractError, Problem
from contract.secrets import DEVICE_SECRETS_PATH, SecretRef, SecretValue

AGAIN = "It is tried again."


class SecretSource(Protocol):
    """Who has values."""

    def fetch(self, ref: SecretRef) -> bytes:
        """Return a value (UTF-8); raises `SecretUnavailableError` and `SecretGoneError`."""


class NoSecrets:
    """Nobody has any."""

    def fetch(self, ref: SecretRef) -> bytes:
        """See `SecretSource`."""
        raise SecretUnavailableError("nobody is asked for secrets here", where=f"secret {ref.label}")


class HubSecrets:
    """The hub at ``base_url`` (scheme, host, port). No redirect is followed, nothing is kept here."""

    def __init__(
        self,
        base_url: str,
        context: ssl.SSLContext,
        *,
        network: Network = DIRECT,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._base_url, self._context = base_url, context
        self._network = network
        self._timeout_s = timeout_s

    def fetch(self, ref: SecretRef) -> bytes:
        """See `SecretSource`."""
        status, body = self._get(ref)
        if status == HTTPStatus.OK:
            return _value(ref, body)
        code = _code(body)
        if status == HTTPStatus.GONE:
            raise SecretGoneError(
                f"this version was destroyed [{code}]",
                where=f"secret {ref.label}",
                fix="Set a new value in the hub, and apply the rollout.",
            )
        raise SecretUnavailableError(
            f"the hub answered {status} [{code}]", where=f"secret {ref.label}", fix=AGAIN
        )

    def _get(self, ref: SecretRef) -> tuple[int, bytes]:
        path, timeout_s = f"{DEVICE_SECRETS_PATH}/{ref.label}", self._timeout_s
        try:
            return ask(self._network, self._base_url, self._context, "GET", path, timeout_s=timeout_s)
        except (OSError, http.client.HTTPException) as error:
            # The error's own words alone: one that broke off holds what had come.
            raise SecretUnavailableError(
                f"the hub does not answer ({type(error).__name__})", where=f"secret {ref.label}", fix=AGAIN
            ) from None


def _value(ref: SecretRef, body: bytes) -> bytes:
    try:
        answer = decode(body, SecretValue, what="secret")
    except ContractError:
        answer = None
    if answer is None or (answer.name, answer.version) != (ref.name, ref.version):
        raise SecretUnavailableError(
            "what the hub sent is not that secret", where=f"secret {ref.label}", fix=AGAIN
        )
    return answer.value.encode()


def _code(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=Problem).code
    except (msgspec.DecodeError, msgspec.ValidationError):
        return "-"
