"""Signatures are judged alike by the OpenSSL of TLS and by the package, and leave TLS alone."""

import ctypes
import os
import ssl
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.trust import ed25519
from agent.trust.ed25519 import Verify, by_openssl, by_package
from agent.version import VERSION

# RFC 8032, 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
# As where nothing but what FIPS 140 allows may be used, and no such provider is there.
FIPS_ALONE = """
openssl_conf = all
[all]
alg_section = algorithms
providers = providers
[providers]
default = default
[default]
activate = 1
[algorithms]
default_properties = fips=yes
"""
ORDER = 2**252 + 27742317777372353535851937790883648493


def needs_openssl() -> Verify:
    found = by_openssl()
    if found is None:
        pytest.skip("this Python has its OpenSSL inside")
    return found


@pytest.fixture(params=["openssl", "package"])
def verify(request: pytest.FixtureRequest) -> Verify:
    return needs_openssl() if request.param == "openssl" else by_package()


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_vectors_of_the_specification(verify: Verify, key: str, message: str, signature: str) -> None:
    public, signed, over = bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(message)
    assert verify(public, signed, over)
    assert not verify(public, signed, over + b"\0")
    for position in range(0, 512, 37):
        flipped = bytearray(signed)
        flipped[position // 8] ^= 1 << position % 8
        assert not verify(public, bytes(flipped), over)


def test_what_is_no_key_or_no_signature_is_refused(verify: Verify) -> None:
    key, message, signature = (bytes.fromhex(text) for text in VECTORS[1])
    for wrong in (b"", signature[:-1], signature + b"\0", bytes(64), b"\xff" * 64):
        assert not verify(key, wrong, message)
    for wrong in (b"", key[:-1], key + b"\0", b"\xff" * 32):
        assert not verify(wrong, signature, message)
    # The same signature with S + L: whoever takes it lets one document have two signatures (RFC 8032, 5.1.7).
    other = int.from_bytes(signature[32:], "little") + ORDER
    assert not verify(key, signature[:32] + other.to_bytes(32, "little"), message)


def test_long_messages_with_zeros(verify: Verify) -> None:
    private = Ed25519PrivateKey.generate()
    message = bytes(range(256)) * 4096
    signature = private.sign(message)
    assert verify(private.public_key().public_bytes_raw(), signature, message)
    assert not verify(private.public_key().public_bytes_raw(), signature, message[:-1])


def test_a_refusal_leaves_nothing_in_the_queue_that_tls_reads() -> None:
    """An error left in a thread's queue is taken for a failure of the next TLS record of that thread."""
    verify = needs_openssl()
    major = ssl.OPENSSL_VERSION_INFO[0]
    library = ctypes.CDLL(f"libcrypto.so.{'1.1' if major == 1 else major}")
    library.ERR_peek_error.restype = ctypes.c_ulong
    new_key = library.EVP_PKEY_new_raw_public_key
    new_key.restype = ctypes.c_void_p
    assert new_key(ed25519.EVP_PKEY_ED25519, None, b"short", ctypes.c_size_t(5)) is None
    assert library.ERR_peek_error() != 0, "the judge sees no error where one was left"
    library.ERR_clear_error()
    assert not verify(b"short", bytes(64), b"")
    assert not verify(bytes.fromhex(VECTORS[0][0]), b"\xff" * 64, b"")
    assert library.ERR_peek_error() == 0


def test_an_openssl_that_does_not_know_the_algorithm_is_not_taken(tmp_path: Path) -> None:
    needs_openssl()
    (tmp_path / "openssl.cnf").write_text(FIPS_ALONE)
    look = "from agent.trust.ed25519 import by_openssl; print(by_openssl() is None)"

    def told(env: dict[str, str]) -> str:
        program = [sys.executable, "-c", look]
        done = subprocess.run(program, env=os.environ | env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert told({}) == "False"
    assert told({"OPENSSL_CONF": str(tmp_path / "openssl.cnf")}) == "True"


def test_a_daemon_holds_nothing_in_memory_that_it_does_not_use() -> None:
    """What one of these costs there is in docs/decisions/0160."""
    listing = "import sys, {}; print(*sys.modules)"
    unwanted = {"cryptography", "tarfile", "zipfile", "csv", "importlib.metadata", "agent.checks.all"}

    def held(modules: str) -> set[str]:
        program = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; "]
        program[-1] += listing.format(modules)
        done = subprocess.run(program, capture_output=True, text=True, check=True)
        return set(done.stdout.split()) & unwanted

    needs_openssl()
    assert held("agent.cli") == set()
    assert held("agent.checks.all, agent.support.bundle, cryptography") >= unwanted - {"csv", "zipfile"}


def test_the_version_is_that_of_the_package() -> None:
    assert version("headland") == VERSION
