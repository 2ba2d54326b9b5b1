"""Signatures, event patterns, the schedule, the sealing of secrets: no database, no network."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.outbound.errors import OutboundFailedError
from cloud_hub.webhooks.errors import SealBrokenError
from cloud_hub.webhooks.guarded_outbound import GuardedOutbound
from cloud_hub.webhooks.key_sealed_text import KeySealedText
from cloud_hub.webhooks.rules import Schedule, activity_event, is_pattern, wants
from cloud_hub.webhooks.signing import secret_text, signed_headers
from tests.webhooks.conftest import LOOPBACK
from tests.webhooks.receiver import NotGenuineError, verify

# The example that the specification's own libraries are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, AT_S, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_known_example_has_the_known_signature() -> None:
    headers = signed_headers(SECRET, MESSAGE, AT_S, BODY)
    assert headers == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": str(AT_S),
        "webhook-signature": SIGNATURE,
    }
    verify(SECRET, headers, BODY, now_s=AT_S)  # and the tests' own verifier agrees with it


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=200), st.integers(0, 2**33))
def test_what_is_signed_verifies_and_nothing_else_does(key: bytes, body: bytes, at_s: int) -> None:
    headers = signed_headers(secret_text(key), "msg_1", at_s, body)
    verify(secret_text(key), headers, body, now_s=at_s)
    for secret, given_body in ((secret_text(key + b"x"), body), (secret_text(key), body + b"x")):
        with pytest.raises(NotGenuineError):
            verify(secret, headers, given_body, now_s=at_s)


def test_patterns_name_parts() -> None:
    event = activity_event("image-build", "completed")
    assert event == "activity.image_build.completed"
    for pattern in (event, "activity.*.completed", "*.*.*", "activity.image_build.*"):
        assert is_pattern(pattern)
        assert wants(["nothing", pattern], event)
    for pattern in ("*", "activity.*", "activity.*.failed", "activity.*.completed.more"):
        assert not wants([pattern], event)


@given(st.integers(1, 1000), st.floats(0, 1))
def test_waits_grow_up_to_a_bound_and_differ_by_chance(attempts: int, chance: float) -> None:
    schedule = Schedule()
    longest = min(schedule.longest_s, schedule.first_s * 3 ** (min(attempts, 20) - 1))
    assert longest / 2 <= schedule.wait_s(attempts, chance) <= longest
    assert schedule.wait_s(attempts, 0) == longest


def test_a_sealed_secret_opens_for_its_place_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    sealed = KeySealedText.of_file(path).seal("whsec_x", "webhook/shop/1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"whsec" not in sealed
    again = KeySealedText.of_file(path)
    assert again.open(sealed, "webhook/shop/1") == "whsec_x"
    for other, context in (
        (again, "webhook/lab/1"),
        (KeySealedText(b"o" * 32), "webhook/shop/1"),
    ):
        with pytest.raises(SealBrokenError):
            other.open(sealed, context)
    with pytest.raises(SealBrokenError):
        again.open(b"", "webhook/shop/1")


def test_a_receiver_that_is_not_there_is_an_error_without_its_words() -> None:
    with pytest.raises(OutboundFailedError, match="no answer"):
        GuardedOutbound(LOOPBACK).post("http://127.0.0.1:1/x", {}, b"", 5.0)
