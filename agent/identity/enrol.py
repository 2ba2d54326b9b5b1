"""Enrolment: a key made here, a one-time token, and the hub known by its CA's fingerprint.

The hub's CA certificate is fetched without trust, believed only if its SHA-256 is the one in the
invitation, and then the only CA that the request with the token is sent under.
"""

import hashlib
import http.client
import ssl
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from agent.errors import EnrolmentDelayedError, EnrolmentError, HubUnreachableError
from agent.identity import store
from agent.identity.new_key import make_key_and_request
from agent.network.asking import ask
from agent.network.line import DIRECT, Network
from contract.encoding import decode, encode
from contract.enrolment import CA_PATH, ENROL_PATH, Claim, EnrolAnswer, EnrolPending, EnrolRequest, Invitation
from contract.errors import Problem

Given = TypeVar("Given", Invitation, Claim)


def read_given(path: Path, kind: type[Given]) -> Given:
    """Read the invitation or the claim that the hub's people wrote to a file."""
    what = kind.__name__.lower()
    try:
        return decode(path.read_bytes(), kind, what=what)
    except OSError as error:
        raise EnrolmentError(
            f"cannot read the {what} ({error.strerror})", where=str(path), fix=f"Check --{what}."
        ) from error


def enrol(invitation: Invitation, folder: Path, network: Network = DIRECT) -> store.Identity:
    """Get this device its identity and keep it in ``folder``; the key never leaves the device."""
    refuse_enrolled(folder)
    ca_pem = fetch_ca(invitation, network)
    key_pem, csr_pem = make_key_and_request()
    request = EnrolRequest(token=invitation.token, csr_pem=csr_pem)
    answer = ask_for_identity(invitation.hub, ca_pem, request, network)
    if isinstance(answer, EnrolPending):
        raise EnrolmentError("the hub has not decided, as by a claim", where=invitation.hub)
    return keep(answer, invitation.hub, folder, key_pem)


def refuse_enrolled(folder: Path) -> None:
    """Raise `EnrolmentError` where the device has an identity."""
    if (folder / "device.json").exists():
        raise EnrolmentError(
            "this device is enrolled already",
            where=str(folder),
            fix="Remove that folder first if it shall become another device.",
        )


def keep(answer: EnrolAnswer, hub: str, folder: Path, key_pem: bytes) -> store.Identity:
    """Keep the identity that the hub gave; what it believes is the hub's CA from here on."""
    facts = store.DeviceFacts(
        device=answer.device,
        workspace=answer.workspace,
        hub=hub,
        mqtt_host=answer.mqtt_host,
        mqtt_port=answer.mqtt_port,
        desired_keys=answer.desired_keys,
    )
    return store.save(
        folder, facts, key_pem=key_pem, certificate_pem=answer.certificate_pem, ca_pem=answer.ca_pem
    )


def fetch_ca(invitation: Invitation | Claim, network: Network) -> str:
    """Return the hub's CA certificate (PEM), believed by its fingerprint alone."""
    # Not the default context: it reads the machine's own list of authorities, which nobody asks here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # believed only by its fingerprint, below
    status, body = _call(invitation.hub, network, context, "GET", CA_PATH, None)
    if status != http.client.OK:
        raise EnrolmentError(f"the hub answered {status} for its CA certificate", where=invitation.hub)
    try:
        der = ssl.PEM_cert_to_DER_cert(body.decode("ascii"))
    except ValueError as error:
        raise EnrolmentError("what the hub sent is no certificate", where=invitation.hub) from error
    if hashlib.sha256(der).hexdigest() != invitation.ca_sha256:
        given = type(invitation).__name__.lower()
        raise EnrolmentError(
            f"the hub's CA certificate is not the one of the {given}: this may be another machine",
            where=invitation.hub,
            fix=f"Make a new {given} on the hub and check the address.",
        )
    return body.decode("ascii")


def ask_for_identity(
    hub: str, ca_pem: str, request: EnrolRequest, network: Network
) -> EnrolAnswer | EnrolPending:
    """Send the request under the hub's CA; raises `EnrolmentError`, or `EnrolmentDelayedError`."""
    context = ssl.create_default_context(cadata=ca_pem)
    network.trust(context, urlsplit(hub).hostname or "")
    status, answer = _call(hub, network, context, "POST", ENROL_PATH, encode(request))
    if status == http.client.OK:
        return decode(answer, EnrolAnswer, what="enrolment answer")
    if status == http.client.ACCEPTED:
        return decode(answer, EnrolPending, what="enrolment answer")
    try:
        problem = msgspec.json.decode(answer, type=Problem)
    except msgspec.DecodeError as error:
        kind = EnrolmentDelayedError if status >= http.client.INTERNAL_SERVER_ERROR else EnrolmentError
        raise kind(f"the hub answered {status}", where=hub) from error
    kind = EnrolmentDelayedError if problem.retriable else EnrolmentError
    raise kind(f"{problem.detail} [{problem.code}]", where=hub, fix=problem.fix)


def _call(
    hub: str, network: Network, context: ssl.SSLContext, method: str, path: str, body: bytes | None
) -> tuple[int, bytes]:
    address = urlsplit(hub)
    if address.scheme != "https" or not address.hostname:
        raise EnrolmentError("the hub's address is not an https URL", where="invitation field hub")
    try:
        return ask(network, hub, context, method, path, body)
    except (OSError, http.client.HTTPException) as error:
        raise HubUnreachableError(
            f"no answer from the hub ({error})", where=hub, fix="Is `headland hub up` running there?"
        ) from error
