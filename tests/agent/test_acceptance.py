"""The acceptance rule: exactly what the hub signed for this device and this time gets in."""

import dataclasses
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.trust.acceptance import Expected, Refused, judge
from agent.trust.ed25519 import verify
from contract.desired import Desired, ImageRef, Module
from contract.dsse import DESIRED_TYPE, Envelope, pre_authentication_encoding, wrap
from contract.encoding import encode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
MODULE = Module(name="m", image=ImageRef(repository="w/m", digest="sha256:" + "0" * 64, name="m:1"))
GOOD = Desired(
    device="cam-1", workspace="shop", generation=5, issued_at=NOW, not_after=NOW + timedelta(days=1),
    rollout="r:1", modules=(MODULE,),
)  # fmt: skip
EXPECTED = Expected(
    device="cam-1", workspace="shop", floor=4, now=NOW, keys={"k1": KEY.public_key().public_bytes_raw()}
)


def sign(payload: bytes, kind: str = DESIRED_TYPE, key: Ed25519PrivateKey = KEY, keyid: str = "k1") -> bytes:
    return encode(wrap(payload, kind, {keyid: key.sign(pre_authentication_encoding(kind, payload))}))


def refusal(data: bytes, expected: Expected = EXPECTED) -> str:
    verdict = judge(data, expected, verify)
    assert isinstance(verdict, Refused), "it was accepted"
    assert verdict.reason
    return verdict.code


def changed(**values: object) -> bytes:
    return sign(encode(msgspec.structs.replace(GOOD, **values)))


def test_what_the_hub_signed_is_accepted() -> None:
    assert judge(sign(encode(GOOD)), EXPECTED, verify) == GOOD


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (changed(device="cam-2"), "wrong-device"),
        (changed(workspace="lab"), "wrong-workspace"),
        (changed(generation=3), "old-generation"),
        (changed(generation=4), "already-held"),
        (changed(not_after=NOW), "expired"),
        (changed(not_after=datetime(2030, 1, 1)), "expired"),  # noqa: DTZ001  a time without zone
        (changed(modules=(MODULE, MODULE)), "malformed"),
        (sign(b"{}"), "malformed"),
        (sign(encode(GOOD), kind="application/other"), "wrong-payload-type"),
        (sign(encode(GOOD), key=OTHER_KEY), "bad-signature"),
        (sign(encode(GOOD), keyid="k2"), "bad-signature"),
        (encode(wrap(encode(GOOD), DESIRED_TYPE, {})), "bad-signature"),
        (encode(wrap(encode(GOOD), DESIRED_TYPE, {"k1": b"short"})), "bad-signature"),
        (b"", "malformed"),
        (b"not json", "malformed"),
        (b"[" * 100_000, "malformed"),
    ],
)
def test_everything_else_is_refused_with_its_own_code(data: bytes, code: str) -> None:
    assert refusal(data) == code


def test_the_signature_is_checked_before_the_content_is_read() -> None:
    wrong_in_both = msgspec.structs.replace(GOOD, device="cam-2")
    assert refusal(sign(encode(wrong_in_both), key=OTHER_KEY)) == "bad-signature"


@given(st.data())
def test_no_flipped_bit_gets_in(data: st.DataObject) -> None:
    envelope = msgspec.json.decode(sign(encode(GOOD)), type=Envelope)
    raw = bytearray(encode(GOOD))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= 1 << data.draw(st.integers(0, 7))
    forged = wrap(bytes(raw), DESIRED_TYPE, {})
    forged = msgspec.structs.replace(forged, signatures=envelope.signatures)
    assert refusal(encode(forged)) == "bad-signature"


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_never_raises(data: bytes) -> None:
    assert refusal(data) in {"malformed", "bad-signature", "wrong-payload-type"}


def by(hub: datetime, held: datetime | None = None) -> Expected:
    """Return what is expected where the clock is in 1970, and the hub's word is this."""
    clock = datetime(1970, 1, 1, tzinfo=UTC)
    return dataclasses.replace(EXPECTED, now=clock, reached=hub, held_issued_at=held)


def test_a_clock_that_was_set_back_does_not_make_an_expired_document_acceptable() -> None:
    assert judge(sign(encode(GOOD)), by(GOOD.not_after - timedelta(seconds=1)), verify) == GOOD
    assert refusal(sign(encode(GOOD)), by(GOOD.not_after)) == "expired"
    assert refusal(changed(issued_at=datetime(2026, 1, 1)), by(NOW)) == "malformed"  # noqa: DTZ001


def test_negative_control_by_the_clock_alone_it_is_taken() -> None:
    clock_alone = dataclasses.replace(by(GOOD.not_after), reached=None)
    assert judge(sign(encode(GOOD)), clock_alone, verify) == GOOD


def test_a_hub_whose_clock_was_ahead_does_not_lock_its_devices_out() -> None:
    ahead = NOW + timedelta(days=365)
    assert judge(sign(encode(GOOD)), by(ahead, held=ahead), verify) == GOOD
    assert refusal(sign(encode(GOOD)), by(ahead, held=NOW)) == "expired", "it took nothing back"
    clock_ahead = dataclasses.replace(by(ahead, held=ahead), now=ahead)
    assert refusal(sign(encode(GOOD)), clock_ahead) == "expired"


def test_negative_control_a_verifier_that_says_yes_lets_a_forgery_in() -> None:
    forged = sign(encode(GOOD), key=OTHER_KEY)
    assert judge(forged, EXPECTED, lambda *_: True) == GOOD
