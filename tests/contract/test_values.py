"""Names, digests, and the bytes that are signed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import dsse, ids
from contract.digests import InvalidDigestError, check_digest, hex_of, sha256
from contract.encoding import canonical
from contract.errors import ContractError, HeadlandError


@pytest.mark.parametrize("name", ["cam-1", "0", "a" * 63, "a-", "a--b"])
def test_device_ids_that_are_allowed(name: str) -> None:
    assert ids.check_device_id(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "A", "a.b", "a/b", "a+", "#", "a" * 64, "a b", "é", "a\n", "..", "$SYS", "a\x00"]
)
def test_device_ids_that_are_not(name: str) -> None:
    with pytest.raises(ids.InvalidNameError) as caught:
        ids.check_device_id(name)
    assert caught.value.fix
    assert name not in str(caught.value) or len(name) < 2


@given(st.text(max_size=70))
def test_a_checked_id_is_safe_as_topic_level_and_file_name(name: str) -> None:
    try:
        ids.check_device_id(name)
    except ids.InvalidNameError:
        return
    assert not set(name) & set("/+#.*> \n\0$\\")
    assert name not in {"", ".", ".."}


def test_versioned_names() -> None:
    assert ids.split_versioned("digits:12", where="x") == ("digits", 12)
    assert ids.split_versioned("digits", where="x") == ("digits", None)
    for wrong in ("digits:", "digits:0", "digits:-1", "digits:a", "digits:1:2", "digits:\uff11", ":1"):
        with pytest.raises(ids.InvalidNameError):
            ids.split_versioned(wrong, where="x")


def test_digests() -> None:
    digest = sha256(b"")
    assert digest == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert hex_of(digest) == digest[7:]
    for wrong in ("", "sha256:", digest.upper(), digest + "0", "sha512:" + "0" * 64, digest + "\n"):
        with pytest.raises(InvalidDigestError):
            check_digest(wrong, where="x")


def test_dsse_encoding_is_the_specification_s_own_example() -> None:
    """From secure-systems-lab/dsse, protocol.md: payload `hello world`, its type, and the PAE."""
    encoded = dsse.pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=64))
def test_an_envelope_gives_back_what_went_in(payload: bytes, signature: bytes) -> None:
    envelope = dsse.wrap(payload, dsse.DESIRED_TYPE, {"k": signature})
    assert dsse.payload_of(envelope) == payload
    assert dsse.signature_of(envelope.signatures[0]) == signature


def test_broken_base64_is_an_error() -> None:
    envelope = dsse.Envelope(payload="!", payloadType="t", signatures=(dsse.Signature(keyid="k", sig="!"),))
    with pytest.raises(ContractError):
        dsse.payload_of(envelope)
    with pytest.raises(ContractError):
        dsse.signature_of(envelope.signatures[0])


def test_canonical_bytes_do_not_depend_on_order() -> None:
    assert canonical({"b": 1, "a": [1, 2]}) == canonical({"a": [1, 2], "b": 1}) == b'{"a":[1,2],"b":1}'


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = HeadlandError("it broke", where="file.yaml", fix="Mend it.")
    assert str(error) == "file.yaml: it broke. Mend it."
