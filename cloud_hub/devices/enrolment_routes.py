"""HTTP: enrolment of devices and renewal, EST-style (RFC 7030).

The credential is the token in the body, and for a renewal the certificate that ends soon.
"""

from http import HTTPStatus

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from cloud_hub.api.auth import Grant, Hub, Who, guarded_router
from cloud_hub.audit.actor import Actor
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.errors import UnauthenticatedError
from cloud_hub.services import Services
from contract.encoding import decode, encode
from contract.enrolment import (
    CA_PATH,
    CERTIFICATE_PATH,
    ENROL_PATH,
    RENEW_PATH,
    CertificateHeld,
    EnrolAnswer,
    EnrolPending,
    EnrolRequest,
    RenewRequest,
)

router = guarded_router("", "enrolment")


@router.get(CA_PATH)
def ca_certificates(hub: Hub) -> Response:
    """Return the hub's CA certificate, PEM; to be believed by its fingerprint."""
    return Response(hub.authority.ca_pem, media_type="application/x-pem-file")


@router.post(ENROL_PATH)
async def enrol(request: Request, hub: Hub, who: Who) -> Response:
    """Turn a one-time token, or a claim once it is accepted, and a certificate request into an identity."""
    ask = decode(await request.body(), EnrolRequest, what="enrolment request")
    answer = await run_in_threadpool(_enrol, hub, who.asked, ask)
    if isinstance(answer, EnrolAnswer):
        return Response(encode(answer), media_type="application/json")
    headers = {"Retry-After": str(answer.retry_after_s)}
    return Response(encode(answer), HTTPStatus.ACCEPTED, headers, "application/json")


@router.post(RENEW_PATH)
async def renew(request: Request, hub: Hub, who: Who) -> Response:
    """Give the device that asks its next certificate."""
    ask = decode(await request.body(), RenewRequest, what="renewal request")
    answer = await run_in_threadpool(_renew, hub, who, ask)
    return Response(encode(answer), media_type="application/json")


@router.get(CERTIFICATE_PATH)
def held(who: Who) -> Response:
    """Say whose certificate was shown; one that is new counts from now on."""
    return Response(encode(CertificateHeld(device=_device(who).id)), media_type="application/json")


def _renew(hub: Services, who: Grant, ask: RenewRequest) -> EnrolAnswer:
    device = _device(who).id
    hub.limits.tried(("renewal", device))
    return hub.devices.renew(device, ask, who.by)


def _device(who: Grant) -> DeviceRow:
    if who.device is None:
        raise UnauthenticatedError("no certificate of a device was shown")
    return who.device


def _enrol(hub: Services, asked: Actor, ask: EnrolRequest) -> EnrolAnswer | EnrolPending:
    with hub.limits.guard(("enrolment", asked.address)):
        if ask.device:
            return hub.claims.ask(ask, asked)
        return hub.devices.enrol(ask, asked)
