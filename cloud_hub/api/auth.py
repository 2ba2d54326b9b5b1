"""Who asks: a person or service by token, a device by certificate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from cryptography import x509
from cryptography.x509.oid import NameOID
from fastapi import Depends, Path, Request

from cloud_hub.access.roles import Caller, Role
from cloud_hub.api.tls import client_certificate
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from cloud_hub.pki.authority import serial_of
from cloud_hub.services import Services


def services_of(request: Request) -> Services:
    """Return the hub's services."""
    return cast(Services, request.app.state.services)


Hub = Annotated[Services, Depends(services_of)]


def authenticate(request: Request, hub: Hub) -> Caller:
    """Return the caller by bearer token; raises `UnauthenticatedError`."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise UnauthenticatedError("no token was shown", fix="Send `Authorization: Bearer TOKEN`.")
    return hub.access.authenticate(secret)


Authenticated = Annotated[Caller, Depends(authenticate)]


@dataclass(frozen=True)
class Member:
    """A caller in a workspace, with the role that the route asks for."""

    caller: Caller
    workspace: str


def member(role: Role) -> Callable[..., Member]:
    """Return the dependency of a route that needs ``role`` in its workspace."""

    def check(workspace: Annotated[str, Path()], caller: Authenticated, hub: Hub) -> Member:
        if not caller.sees(workspace):
            raise NotFoundError(
                "no such workspace", where=workspace, fix="`headland workspace list` shows those you may see."
            )
        hub.workspaces.get(workspace)
        if not caller.may(role):
            raise ForbiddenError(
                f"your role {caller.role} does not allow it", where=workspace, fix=f"It takes {role}."
            )
        return Member(caller, workspace)

    return check


Reader = Annotated[Member, Depends(member("Reader"))]
Contributor = Annotated[Member, Depends(member("Contributor"))]
Owner = Annotated[Member, Depends(member("Owner"))]


def admin(caller: Authenticated) -> Caller:
    """Return the caller if the hub is theirs."""
    if not caller.may("Admin"):
        raise ForbiddenError("only the hub's administrator may do that")
    return caller


Administrator = Annotated[Caller, Depends(admin)]


def device_or_none(request: Request, hub: Hub) -> DeviceRow | None:
    """Return the device whose certificate was shown; one that is unknown or revoked is refused."""
    der = client_certificate(request)
    if der is None:
        return None
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    device = str(names[0].value) if names else ""
    row = hub.devices.recognise(device, serial_of(certificate))
    if row is None:
        raise UnauthenticatedError("the device's certificate is not known or revoked")
    return row


MaybeDevice = Annotated[DeviceRow | None, Depends(device_or_none)]
