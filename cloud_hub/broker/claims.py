"""The two tokens of NATS's auth callout: the server's question and the hub's answer.

Both are JWTs with the algorithm ``ed25519-nkey`` (NATS ADR-14 and ADR-26, "Authorization callout";
claims of version 2 as in nats-io/jwt). Pure: the clock and the signature come from the caller.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cloud_hub.broker.errors import AuthRequestError

_AUDIENCE: Final = "nats-authorization-request"
_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}
Sign = Callable[[bytes], bytes]


class ServerId(msgspec.Struct, frozen=True):
    """Which server asks."""

    id: str


class ClientInfo(msgspec.Struct, frozen=True):
    """What the server knows of the connection; ``mqtt_id`` is the MQTT client id."""

    id: int = 0
    type: str = ""
    mqtt_id: str = ""


class ClientTls(msgspec.Struct, frozen=True):
    """Chains the server has verified, each from the leaf up, in PEM."""

    verified_chains: tuple[tuple[str, ...], ...] | None = None


class _Question(msgspec.Struct, frozen=True):
    server_id: ServerId
    user_nkey: str
    client_info: ClientInfo
    type: str
    client_tls: ClientTls | None = None


class _Envelope(msgspec.Struct, frozen=True):
    iss: str
    aud: str
    nats: _Question
    exp: int = 0


@dataclass(frozen=True)
class AuthRequest:
    """One connection to be judged; the answer must name ``user_nkey`` and ``server_id``.

    ``certificate_pem`` is the verified client certificate, if there is one. The server stops
    waiting at ``expires_at`` (seconds since the Unix epoch).
    """

    server_id: str
    user_nkey: str
    connection: int
    client_type: str
    mqtt_id: str
    certificate_pem: str | None
    expires_at: int


@dataclass(frozen=True)
class Grant:
    """What a connection may do: NATS subjects it may publish and subscribe to, until ``expires_at``."""

    name: str
    account: str
    publish: Sequence[str]
    subscribe: Sequence[str]
    expires_at: int


def read_request(token: bytes) -> AuthRequest:
    """Return the question in ``token``; raises `AuthRequestError` where its server did not sign it."""
    try:
        head, body, signature = token.split(b".")
        envelope = msgspec.json.decode(_unbase64(body), type=_Envelope)
        _public_key(envelope.iss).verify(_unbase64(signature), head + b"." + body)
    except (ValueError, msgspec.DecodeError, InvalidSignature) as error:
        raise _not_ours("not a signed authorization request") from error
    question = envelope.nats
    if envelope.aud != _AUDIENCE or question.type != "authorization_request":
        raise _not_ours("another kind of token")
    if envelope.iss != question.server_id.id:
        raise _not_ours("signed by another server than the one it names")
    chains = question.client_tls.verified_chains if question.client_tls else None
    return AuthRequest(
        server_id=question.server_id.id,
        user_nkey=question.user_nkey,
        connection=question.client_info.id,
        client_type=question.client_info.type,
        mqtt_id=question.client_info.mqtt_id,
        certificate_pem=chains[0][0] if chains and chains[0] else None,
        expires_at=envelope.exp,
    )


def granted(request: AuthRequest, grant: Grant, *, issuer: str, sign: Sign, now_s: int) -> bytes:
    """Return the answer that lets the connection in with what ``grant`` says."""
    user = {
        "iss": issuer,
        "sub": request.user_nkey,
        "aud": grant.account,
        "name": grant.name,
        "iat": now_s,
        "exp": grant.expires_at,
        "nats": {
            "type": "user",
            "version": 2,
            "pub": {"allow": list(grant.publish)},
            "sub": {"allow": list(grant.subscribe)},
            "subs": -1,
            "data": -1,
            "payload": -1,
            "allowed_connection_types": [request.client_type.upper()],
        },
    }
    return _answer(request, {"jwt": _jwt(user, sign).decode()}, issuer, sign, now_s)


def refused(request: AuthRequest, reason: str, *, issuer: str, sign: Sign, now_s: int) -> bytes:
    """Return the answer that keeps the connection out; the server logs ``reason``."""
    return _answer(request, {"error": reason}, issuer, sign, now_s)


def _answer(request: AuthRequest, verdict: dict[str, str], issuer: str, sign: Sign, now_s: int) -> bytes:
    claims = {
        "iss": issuer,
        "sub": request.user_nkey,
        "aud": request.server_id,
        "iat": now_s,
        "nats": {"type": "authorization_response", "version": 2, **verdict},
    }
    return _jwt(claims, sign)


def _jwt(claims: dict[str, Any], sign: Sign) -> bytes:
    digest = hashlib.new("sha512_256", msgspec.json.encode(claims)).digest()
    with_id = {"jti": base64.b32encode(digest).rstrip(b"=").decode(), **claims}
    text = _base64(msgspec.json.encode(_HEADER)) + b"." + _base64(msgspec.json.encode(with_id))
    return text + b"." + _base64(sign(text))


def _public_key(nkey: str) -> Ed25519PublicKey:
    """Read a public nkey: base32 of a prefix byte, 32 key bytes and a checksum of 2 (nkeys)."""
    try:
        raw = base64.b32decode(nkey + "=" * (-len(nkey) % 8))
    except binascii.Error as error:
        raise ValueError("not an nkey") from error
    return Ed25519PublicKey.from_public_bytes(raw[1:33])


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _unbase64(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


def _not_ours(what: str) -> AuthRequestError:
    return AuthRequestError(
        what, where="authorization request", fix="Check the server's version and its log."
    )
