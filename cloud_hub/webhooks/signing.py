"""Signatures of the Standard Webhooks specification 1.0.0, symmetric scheme v1. Pure."""

import base64
import hashlib
import hmac

PREFIX = "whsec_"
KEY_BYTES = 32


def secret_text(key: bytes) -> str:
    """Return a key as it is shown: prefix and base64."""
    return PREFIX + base64.b64encode(key).decode()


def signed_headers(secret: str, message: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt: ``message`` stays, ``at_s`` (Unix seconds) is the attempt's."""
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    signed = f"{message}.{at_s}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{signature}",
    }
