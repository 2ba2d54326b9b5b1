"""Short tokens for container tools: signed, for some repositories and actions, good for five minutes.

Every hub of a cluster has the key (derived from the master keys' root). A token names the access token
or the password that it was got with, and is worth nothing once that has been taken back, changed or
disabled; and what it may do is no more than its owner may do at that moment.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.people import People
from cloud_hub.access.roles import Caller
from cloud_hub.access.tokens import TOKEN_PREFIX, Tokens
from cloud_hub.errors import UnauthenticatedError
from cloud_hub.registry.scopes import Scopes, granted
from contract.encoding import encode

LIFETIME_S = 300
PREFIX = "hlr_"


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    principal: str
    token: str
    password: str
    until: int
    scopes: dict[str, list[str]]


@dataclass(frozen=True)
class Issued:
    """A token, how long it is good for, and since when (seconds since 1970)."""

    token: str
    lifetime_s: int
    issued_at: int


class RegistryTokens:
    """Gives such tokens out, and tells whose they are."""

    def __init__(
        self,
        tokens: Tokens,
        people: People,
        limits: AttemptLimits,
        key: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._limits = limits
        self._people = people
        self._key = key
        self._clock = clock

    def issue(self, user: str, secret: str, asked: Scopes, address: str) -> Issued:
        """Check an access token (whatever the user name) or a password; give what of ``asked`` is allowed.

        Raises `UnauthenticatedError`, `TooManyAttemptsError`.
        """
        password = ""
        if secret.startswith(TOKEN_PREFIX):
            caller = self._tokens.authenticate(secret, address)
        else:
            password = self._people.check_password(user, secret, address)
            caller = self._people.caller_by(user, password)
        now = int(self._clock())
        claims = _Claims(
            principal=caller.principal,
            token=caller.token,
            password=password,
            until=now + LIFETIME_S,
            scopes={name: sorted(actions) for name, actions in granted(caller, asked).items()},
        )
        body = encode(claims)
        return Issued(f"{PREFIX}{_text(body)}.{_text(self._mac(body))}", LIFETIME_S, now)

    def authenticate(self, shown: str, address: str) -> tuple[Caller, Scopes]:
        """Return whose token it is, as they are now, and what it is for.

        Raises `UnauthenticatedError`, `TooManyAttemptsError`. One that is only too old counts against
        nobody: clients show theirs until they are told so.
        """
        body, mac = (_bytes(part) for part in shown.removeprefix(PREFIX).partition(".")[::2])
        if not hmac.compare_digest(mac, self._mac(body)):
            self._limits.failed(("token", address))
            raise _refused()
        claims = msgspec.json.decode(body, type=_Claims)
        if claims.until <= self._clock():
            raise _refused()
        if claims.token:
            caller = self._tokens.caller_by(claims.token)
        else:
            caller = self._people.caller_by(claims.principal, claims.password)
        return caller, {name: frozenset(actions) for name, actions in claims.scopes.items()}

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)


def _refused() -> UnauthenticatedError:
    return UnauthenticatedError(
        "the registry's token is not known or its time is over", fix="Ask for another."
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
