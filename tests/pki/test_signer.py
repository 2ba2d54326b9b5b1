"""The signature on desired documents, checked the way a device does."""

import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cloud_hub.pki.authority import private_key_pem
from cloud_hub.pki.errors import KeyFileError, KeyFileExistsError
from cloud_hub.pki.signer import DesiredSigner
from contract import dsse


def test_signature_verifies_with_the_announced_key_and_fails_on_a_changed_byte(tmp_path: Path) -> None:
    signer = DesiredSigner.create(tmp_path / "desired-key.pem")
    envelope = signer.sign(b'{"generation":1}')
    (signature,) = envelope.signatures
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_keys()[signature.keyid]))
    payload = dsse.payload_of(envelope)
    assert payload == b'{"generation":1}'
    signed = dsse.pre_authentication_encoding(dsse.DESIRED_TYPE, payload)
    key.verify(dsse.signature_of(signature), signed)
    with pytest.raises(InvalidSignature):
        key.verify(dsse.signature_of(signature), signed.replace(b"1}", b"2}"))


def test_key_id_is_sha256_of_the_raw_key(tmp_path: Path) -> None:
    signer = DesiredSigner.create(tmp_path / "desired-key.pem")
    ((keyid, public),) = signer.public_keys().items()
    assert keyid == signer.keyid == hashlib.sha256(bytes.fromhex(public)).hexdigest()


def test_created_key_loads_again_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "desired-key.pem"
    made = DesiredSigner.create(path)
    assert DesiredSigner.load(path).public_keys() == made.public_keys()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyFileExistsError):
        DesiredSigner.create(path)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="0644"):
        DesiredSigner.load(path)


@pytest.mark.parametrize("kind", ["missing", "garbage", "ec"])
def test_what_is_no_ed25519_key_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "desired-key.pem"
    if kind != "missing":
        pem = private_key_pem(ec.generate_private_key(ec.SECP256R1()))
        path.write_bytes(b"no key" if kind == "garbage" else pem)
        path.chmod(0o600)
    with pytest.raises(KeyFileError):
        DesiredSigner.load(path)


def test_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written"):
        DesiredSigner.create(tmp_path / "nowhere" / "key.pem")


def test_public_keys_hold_no_private_bytes(tmp_path: Path) -> None:
    path = tmp_path / "desired-key.pem"
    signer = DesiredSigner.create(path)
    private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    raw = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )[-32:]
    assert raw.hex() not in str(signer.public_keys())
