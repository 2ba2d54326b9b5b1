"""The rule by which a desired document is accepted or refused.

A document is accepted only if a known key signed exactly these bytes, it names this device and
workspace, its generation is above the floor, and its time is not over. Order matters: nothing of
the payload is read before its signature is known to be good.

Its time is over by the clock, or by what the hub signed before: a clock that was set back helps nobody. A
hub whose own clock was ahead would lock its devices out: where a later generation was signed more than
``SKEW`` before the one held, the hub took its word back, and the clock alone counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from msgspec import UNSET

from contract.access import faults
from contract.desired import Desired
from contract.dsse import (
    DESIRED_TYPE,
    Envelope,
    payload_of,
    pre_authentication_encoding,
    signature_of,
)
from contract.encoding import decode
from contract.errors import ContractError
from contract.messages import Refusal

ALREADY_HELD = "already-held"
SKEW = timedelta(days=1)
SIGNED_FOR_US = frozenset({ALREADY_HELD, "old-generation", "expired"})
"""Why a document is refused that the hub did sign for this device: it shows that the hub was there."""

Verify = Callable[[bytes, bytes, bytes], bool]
"""``verify(public_key, signature, signed_bytes)``: is it a signature of that key?"""


@dataclass(frozen=True)
class Refused:
    """Why a document was not accepted: a stable code, and words for people; its generation if it is ours."""

    code: str
    reason: str
    generation: int | None = None

    @property
    def told(self) -> Refusal:
        """What the hub is told of it."""
        number = UNSET if self.generation is None else self.generation
        return Refusal(code=self.code, reason=self.reason, generation=number)


@dataclass(frozen=True)
class Expected:
    """What an acceptable document must match; ``floor`` is the generation held now.

    ``now`` is the clock; ``reached`` is surely past, and ``held_issued_at`` is when the generation held was
    signed; all aware.
    """

    device: str
    workspace: str
    floor: int
    keys: Mapping[str, bytes]
    now: datetime
    reached: datetime | None = None
    held_issued_at: datetime | None = None

    def disowned_by(self, desired: Desired) -> bool:
        """Does a document say that the hub's clock was ahead when it signed the one that is held?"""
        held = self.held_issued_at
        return held is not None and desired.issued_at < held - SKEW


def judge(data: bytes, expected: Expected, verify: Verify) -> Desired | Refused:
    """Return the desired document in the envelope ``data``, or why it is refused."""
    try:
        envelope = decode(data, Envelope, what="DSSE envelope")
        payload = payload_of(envelope)
        if envelope.payloadType != DESIRED_TYPE:
            return Refused("wrong-payload-type", "the envelope holds something else than a desired document")
        if not _signed(envelope, payload, expected.keys, verify):
            return Refused("bad-signature", "no key that this device trusts signed the document")
        desired = decode(payload, Desired, what="desired document")
    except ContractError as error:
        return Refused("malformed", str(error))
    verdict = _judge_content(desired, expected)
    ours = (desired.device, desired.workspace) == (expected.device, expected.workspace)
    if isinstance(verdict, Refused) and ours:
        return replace(verdict, generation=desired.generation)
    return verdict


def _signed(envelope: Envelope, payload: bytes, keys: Mapping[str, bytes], verify: Verify) -> bool:
    signed = pre_authentication_encoding(envelope.payloadType, payload)
    return any(
        verify(keys[signature.keyid], signature_of(signature), signed)
        for signature in envelope.signatures
        if signature.keyid in keys
    )


def _judge_content(desired: Desired, expected: Expected) -> Desired | Refused:
    if desired.device != expected.device:
        return Refused("wrong-device", "the document is for another device")
    if desired.workspace != expected.workspace:
        return Refused("wrong-workspace", "the document is of another workspace")
    if desired.generation == expected.floor:
        return Refused(ALREADY_HELD, "this generation is in force already")
    if desired.generation < expected.floor:
        return Refused("old-generation", f"generation {desired.generation} is below {expected.floor}")
    if desired.issued_at.tzinfo is None:
        return Refused("malformed", "issued_at says no time zone")
    if desired.not_after.tzinfo is None or desired.not_after <= expected.now:
        return Refused("expired", "the document's time is over")
    reached = expected.reached
    if reached is not None and desired.not_after <= reached and not expected.disowned_by(desired):
        return Refused("expired", "the document's time is over by what the hub signed; the clock is behind")
    names = [module.name for module in desired.modules]
    if len(set(names)) != len(names):
        return Refused("malformed", "two modules have the same name")
    for module in desired.modules:
        for fault in faults(module.asks):
            return Refused("malformed", f"module {module.name}: {fault}")
    return desired
