"""Enrolment: a key made here, a one-time token, and the hub known by its CA's fingerprint.

The hub's CA certificate is fetched without trust, believed only if its SHA-256 is the one in the
invitation, and then the only CA that the request with the token is sent under.
"""

import hashlib
import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.errors import EnrolmentError, HubUnreachableError
from agent.identity import store
from agent.identity.new_key import make_key_and_request
from agent.network.asking import ask
from agent.network.line import DIRECT, Network
from contract.encoding import decode, encode
from contract.enrolment import CA_PATH, ENROL_PATH, EnrolAnswer, EnrolRequest, Invitation
from contract.errors import Problem


def read_invitation(path: Path) -> Invitation:
    """Read the file that `headland device invite` wrote."""
    try:
        return decode(path.read_bytes(), Invitation, what="invitation")
    except OSError as error:
        raise EnrolmentError(
            f"cannot read the invitation ({error.strerror})", where=str(path), fix="Check --invitation."
        ) from error


def enrol(invitation: Invitation, folder: Path, network: Network = DIRECT) -> store.Identity:
    """Get this device its identity and keep it in ``folder``; the key never leaves the device."""
    if (folder / "device.json").exists():
        raise EnrolmentError(
            "this device is enrolled already",
            where=str(folder),
            fix="Remove that folder first if it shall become another device.",
        )
    ca_pem = _fetch_ca(invitation, network)
    key_pem, csr_pem = make_key_and_request()
    answer = _request_certificate(invitation, ca_pem, csr_pem, network)
    facts = store.DeviceFacts(
        device=answer.device,
        workspace=answer.workspace,
        hub=invitation.hub,
        mqtt_host=answer.mqtt_host,
        mqtt_port=answer.mqtt_port,
        desired_keys=answer.desired_keys,
    )
    return store.save(
        folder, facts, key_pem=key_pem, certificate_pem=answer.certificate_pem, ca_pem=answer.ca_pem
    )


def _fetch_ca(invitation: Invitation, network: Network) -> str:
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
        raise EnrolmentError(
            "the hub's CA certificate is not the one of the invitation: this may be another machine",
            where=invitation.hub,
            fix="Make a new invitation on the hub and check the address.",
        )
    return body.decode("ascii")


def _request_certificate(invitation: Invitation, ca_pem: str, csr_pem: str, network: Network) -> EnrolAnswer:
    context = ssl.create_default_context(cadata=ca_pem)
    network.trust(context, urlsplit(invitation.hub).hostname or "")
    body = encode(EnrolRequest(token=invitation.token, csr_pem=csr_pem))
    status, answer = _call(invitation.hub, network, context, "POST", ENROL_PATH, body)
    if status == http.client.OK:
        return decode(answer, EnrolAnswer, what="enrolment answer")
    try:
        problem = msgspec.json.decode(answer, type=Problem)
    except msgspec.DecodeError as error:
        raise EnrolmentError(f"the hub answered {status}", where=invitation.hub) from error
    raise EnrolmentError(f"{problem.detail} [{problem.code}]", where=invitation.hub, fix=problem.fix)


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
