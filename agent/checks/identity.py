"""Looks at who the device is: its key and its certificate."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from agent.checks.finding import Finding, failed, ok, warning
from agent.identity.store import Identity

SOON = timedelta(days=7)
RENEWS = (
    "The agent renews it by itself, and should have by now: its log says why not (`renewed`). Once it has"
    " ended, the device has to enrol again."
)
ENROL_AGAIN = (
    "On the hub `headland device invite DEVICE --file FILE --replace`, then stop the agent, remove the folder"
    " identity, enrol, start the agent."
)


def identity(found: Identity) -> Finding:
    """Do key and certificate belong together, and is the key the owner's alone?"""
    mode = stat.S_IMODE(found.key_file.stat().st_mode)
    if mode & 0o077:
        return failed("identity", f"key.pem has mode {mode:04o}: others may read it", "chmod 600 key.pem")
    try:
        found.tls_context()
    except ssl.SSLError as error:
        reason = error.reason or "damaged"
        return failed("identity", f"key, certificate and CA do not fit together ({reason})", ENROL_AGAIN)
    facts, (host, port) = found.facts, hub_address(found)
    return ok("identity", f"{facts.device} in workspace {facts.workspace} of {host}:{port}")


def certificate(found: Identity, now: datetime) -> Finding:
    """Is the device's certificate in force, and for how long?"""
    since, until = validity(found)
    if now < since:
        return failed(
            "certificate",
            f"begins at {since:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M}",
            "Set the clock.",
        )
    left = until - now
    if left <= timedelta(0):
        return failed("certificate", f"ended at {until:%Y-%m-%d %H:%M} UTC", ENROL_AGAIN)
    words = f"ends at {until:%Y-%m-%d %H:%M} UTC, in {left.days} days"
    return warning("certificate", words, RENEWS) if left < SOON else ok("certificate", words)


def hub_address(found: Identity) -> tuple[str, int]:
    """Return the hub's host and port: what else stands in its URL is told to nobody."""
    address = urlsplit(found.facts.hub)
    return address.hostname or "", address.port or 443


def validity(found: Identity) -> tuple[datetime, datetime]:
    """Return from when to when the device's certificate holds, in UTC."""
    # Imported here: x509 costs memory that the daemon need not carry.
    from cryptography import x509  # noqa: PLC0415

    loaded = x509.load_pem_x509_certificate(found.certificate_file.read_bytes())
    return (
        loaded.not_valid_before_utc.astimezone(UTC),
        loaded.not_valid_after_utc.astimezone(UTC),
    )
