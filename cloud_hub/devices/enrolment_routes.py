"""HTTP: enrolment of devices, EST-style (RFC 7030); the token in the body is the credential."""

from fastapi import APIRouter, Request, Response

from cloud_hub.api.auth import Hub
from contract.encoding import decode, encode
from contract.enrolment import CA_PATH, ENROL_PATH, EnrolRequest

router = APIRouter(tags=["enrolment"])


@router.get(CA_PATH)
def ca_certificates(hub: Hub) -> Response:
    """Return the hub's CA certificate, PEM; to be believed by its fingerprint."""
    return Response(hub.authority.ca_pem, media_type="application/x-pem-file")


@router.post(ENROL_PATH)
async def enrol(request: Request, hub: Hub) -> Response:
    """Turn a one-time token and a certificate request into an identity."""
    ask = decode(await request.body(), EnrolRequest, what="enrolment request")
    return Response(encode(hub.devices.enrol(ask)), media_type="application/json")
