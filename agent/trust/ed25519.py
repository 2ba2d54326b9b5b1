"""Ed25519 (RFC 8032) by the OpenSSL that TLS uses already.

The `cryptography` package brings an OpenSSL of its own: 7 MB of memory for one check of a signature a
rollout. It is what checks where the Python at hand has its OpenSSL inside (docs/decisions/0160).
"""

import ctypes
import os
import ssl
from collections.abc import Callable
from typing import Final

EVP_PKEY_ED25519: Final = 1087
# RFC 8032, 7.1, the first test: a key and its signature of nothing.
KNOWN_KEY: Final = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
KNOWN_SIGNATURE: Final = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
_pointer, _bytes, _size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t

Verify = Callable[[bytes, bytes, bytes], bool]


def verify(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    """Is ``signature`` one of ``public_key`` (32 raw bytes) over ``signed``?"""
    return _verify(public_key, signature, signed)


def by_openssl() -> Verify | None:
    """Return the check by the OpenSSL that this process has loaded for TLS.

    None where that is not to be seen, or has no Ed25519 (one that is bound to FIPS 140 may not).

    EVP_DigestVerify(3), EVP_PKEY_new_raw_public_key(3): in every OpenSSL since 1.1.1.
    """
    major = ssl.OPENSSL_VERSION_INFO[0]
    name = f"libcrypto.so.{'1.1' if major == 1 else major}"
    try:
        # Only one that is here: another would be another OpenSSL, and as large as that of the package.
        library = ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
        new_key, free_key = library.EVP_PKEY_new_raw_public_key, library.EVP_PKEY_free
        new_context, free_context = library.EVP_MD_CTX_new, library.EVP_MD_CTX_free
        begin, check = library.EVP_DigestVerifyInit, library.EVP_DigestVerify
        forget_errors = library.ERR_clear_error
    except (OSError, AttributeError):
        return None
    new_key.restype, new_key.argtypes = _pointer, [ctypes.c_int, _pointer, _bytes, _size]
    new_context.restype, new_context.argtypes = _pointer, []
    free_key.restype, free_key.argtypes = None, [_pointer]
    free_context.restype, free_context.argtypes = None, [_pointer]
    begin.argtypes = [_pointer, _pointer, _pointer, _pointer, _pointer]
    check.argtypes = [_pointer, _bytes, _size, _bytes, _size]
    forget_errors.restype, forget_errors.argtypes = None, []

    def verify(public_key: bytes, signature: bytes, signed: bytes) -> bool:
        key, context = None, None
        try:
            key = new_key(EVP_PKEY_ED25519, None, public_key, len(public_key))
            context = new_context()
            if not key or not context or begin(context, None, None, None, key) != 1:
                return False
            return bool(check(context, signature, len(signature), signed, len(signed)) == 1)
        finally:
            free_context(context)
            free_key(key)
            # What is left in this thread's queue would be taken for a failure of its next TLS record.
            forget_errors()

    return verify if verify(KNOWN_KEY, KNOWN_SIGNATURE, b"") else None


def by_package() -> Verify:
    """Return the check by the `cryptography` package."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    def verify(public_key: bytes, signature: bytes, signed: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify


_verify: Final = by_openssl() or by_package()
