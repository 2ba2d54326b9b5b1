"""Signed envelopes: DSSE 1.0 (secure-systems-lab/dsse, "protocol.md"), JSON form.

The signature covers the pre-authentication encoding of the payload's type and exact bytes, so
nothing needs a canonical form. Making and checking signatures is the two ends' own business.
"""

import base64
import binascii

import msgspec

from contract.errors import ContractError

DESIRED_TYPE = "application/vnd.headland.desired.v1+json"


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature: base64 of the bytes, and the id of the key that made it."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A payload with its type and signatures; ``payload`` is base64."""

    payload: str
    payloadType: str
    signatures: tuple[Signature, ...]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: ``DSSEv1 SP LEN(type) SP type SP LEN(body) SP body``."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def wrap(payload: bytes, payload_type: str, signatures: dict[str, bytes]) -> Envelope:
    """Return the envelope for a payload and its signatures by key id."""
    return Envelope(
        payload=base64.b64encode(payload).decode(),
        payloadType=payload_type,
        signatures=tuple(
            Signature(keyid=keyid, sig=base64.b64encode(sig).decode()) for keyid, sig in signatures.items()
        ),
    )


def payload_of(envelope: Envelope) -> bytes:
    """Return the payload's bytes; raises `ContractError` where the base64 is broken."""
    return _unbase64(envelope.payload, "payload")


def signature_of(signature: Signature) -> bytes:
    """Return the signature's bytes; raises `ContractError` where the base64 is broken."""
    return _unbase64(signature.sig, "sig")


def _unbase64(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ContractError("not base64", where=f"envelope field {field}") from error
