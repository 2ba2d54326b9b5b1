"""HTTP: enrolment of devices, EST-style (RFC 7030); the token in the body is the credential."""

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.audit.actor import Actor
from cloud_hub.services import Services
from contract.encoding import decode, encode
from contract.enrolment import CA_PATH, ENROL_PATH, EnrolAnswer, EnrolRequest

router = guarded_router("", "enrolment")


@router.get(CA_PATH)
def ca_certificates(hub: Hub) -> Response:
    """Return the hub's CA certificate, PEM; to be believed by its fingerprint."""
    return Response(hub.authority.ca_pem, media_type="application/x-pem-file")


@router.post(ENROL_PATH)
async def enrol(request: Request, hub: Hub, who: Who) -> Response:
    """Turn a one-time token and a certificate request into an identity."""
    ask = decode(await request.body(), EnrolRequest, what="enrolment request")
    answer = await run_in_threadpool(_enrol, hub, who.asked, ask)
    return Response(encode(answer), media_type="application/json")


def _enrol(hub: Services, asked: Actor, ask: EnrolRequest) -> EnrolAnswer:
    with hub.limits.guard(("enrolment", asked.address)):
        return hub.devices.enrol(ask, asked)
