"""Passwords: Argon2id with OWASP's parameters (Password Storage Cheat Sheet: 19 MiB, 2 passes)."""

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cloud_hub.errors import InvalidInputError

SHORTEST = 12
LONGEST = 1024
AT_ONCE = 2  # each takes 19 MiB and a core for about 0.1 s

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_gate = threading.BoundedSemaphore(AT_ONCE)


@cache
def _nobodys() -> str:
    """Return what is checked where there is no password; made at the first check, for whomever it is."""
    return _hasher.hash("nobody's")


def hash_password(password: str) -> str:
    """Return what is kept of a password; raises `InvalidInputError` for one that is too short."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInputError(
            f"a password has {SHORTEST} to {LONGEST} characters", where="password", fix="Choose another one."
        )
    with _gate:
        return _hasher.hash(password)


def verify_password(kept: str | None, password: str) -> bool:
    """Is it the password? Takes as long where there is none, so names cannot be told by the clock."""
    with _gate:
        nobodys = _nobodys()
        try:
            _hasher.verify(kept or nobodys, password[:LONGEST])
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None
