"""From when to when a certificate holds, read out of its DER (RFC 5280, 4.1) without a library for all of it.

Only for certificates of our own that were checked when they came: it costs the daemon no memory.
"""

import ssl
from datetime import UTC, datetime
from typing import Final, NamedTuple

_SEQUENCE: Final = 0x30
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_VERSION: Final = 0xA0


class Validity(NamedTuple):
    """``notBefore`` and ``notAfter``, in UTC."""

    begins: datetime
    ends: datetime


def validity(certificate_pem: str) -> Validity:
    """Return it of the first certificate; raises ValueError where it is none."""
    try:
        certificate, _ = _value(ssl.PEM_cert_to_DER_cert(certificate_pem), _SEQUENCE)
        rest, _ = _value(certificate, _SEQUENCE)
        if rest[0] == _VERSION:
            _, rest = _value(rest, _VERSION)
        for _ in ("serial number", "signature", "issuer"):
            _, rest = _value(rest, rest[0])
        both, _ = _value(rest, _SEQUENCE)
        begins, both = _time(both)
        ends, _ = _time(both)
        return Validity(begins, ends)
    except IndexError:
        raise ValueError("it breaks off") from None


def _time(data: bytes) -> tuple[datetime, bytes]:
    """Return the time at the head of ``data``, and what follows it."""
    value, rest = _value(data, data[0])
    text = value.decode("ascii")
    if data[0] == _UTC_TIME:
        text = f"{'19' if text[:2] >= '50' else '20'}{text}"
    elif data[0] != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC), rest


def _value(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the value at the head of ``data``, which has that tag, and what follows it."""
    if data[0] != tag:
        raise ValueError("something else than a certificate")
    size, at = data[1], 2
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(data[2:at], "big")
    if len(data) < at + size:
        raise ValueError("it breaks off")
    return data[at : at + size], data[at + size :]
