"""Who asks, and whether they may: decided by `access.policy` before a body is read.

A person or service shows a token, a device its certificate. Every route is a `GuardedRoute`; the
application refuses to start with one that the policy does not name.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

from cryptography import x509
from cryptography.x509.oid import NameOID
from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from cloud_hub.access.policy import POLICY, Rule
from cloud_hub.access.roles import RANK, Caller
from cloud_hub.api.requests import request_id_of
from cloud_hub.api.tls import client_certificate
from cloud_hub.audit.actor import Actor
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from cloud_hub.pki.authority import serial_of
from cloud_hub.registry.errors import RepositoryUnknownError, ScopeMissingError
from cloud_hub.registry.names import repository_of, workspace_of
from cloud_hub.registry.scopes import NEEDS, Action, Scopes
from cloud_hub.registry.tokens import PREFIX as REGISTRY_PREFIX
from cloud_hub.services import Services

ACTION_OF: dict[str, Action] = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}


def services_of(request: Request) -> Services:
    """Return the hub's services."""
    return cast(Services, request.app.state.services)


async def _services(request: Request) -> Services:
    # A coroutine: for a plain function FastAPI would go to a thread and back.
    return services_of(request)


Hub = Annotated[Services, Depends(_services)]


@dataclass(frozen=True)
class Grant:
    """Who asks, from where, and the workspace that the route is of (or an empty text)."""

    address: str
    request_id: str
    workspace: str = ""
    signed_in: Caller | None = None
    device: DeviceRow | None = None
    scopes: Scopes | None = None

    def may(self, repository: str, action: Action) -> bool:
        """May the caller do that in a repository of the registry, with what they showed?"""
        if self.scopes is not None and action not in self.scopes.get(repository, ()):
            return False
        if self.device is not None:
            return action == "pull" and workspace_of(repository) == self.device.workspace
        return self.caller.may(workspace_of(repository), NEEDS[action])

    @property
    def caller(self) -> Caller:
        """The person or service; raises `UnauthenticatedError` where nobody is signed in."""
        if self.signed_in is None:
            raise UnauthenticatedError("no token was shown", fix="Send `Authorization: Bearer TOKEN`.")
        return self.signed_in

    @property
    def asked(self) -> Actor:
        """From where it was asked, by somebody who is not known yet."""
        return Actor("", self.address, self.request_id)

    @property
    def by(self) -> Actor:
        """Who changes or reads something, for the audit log."""
        if self.device is not None:
            return Actor(f"device:{self.device.id}", self.address, self.request_id)
        return Actor(self.caller.principal, self.address, self.request_id)


class GuardedRoute(APIRoute):
    """A route that is answered only to whom the policy names."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the check before everything that FastAPI does with a request."""
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            rule = POLICY[f"{request.method} {self.path}"]
            request.state.grant = await run_in_threadpool(authorise, request, rule)
            return await answer(request)

        return guarded


def guarded_router(prefix: str, tag: str) -> APIRouter:
    """Return an empty router whose routes are guarded; ``prefix`` is the whole path up to them."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=GuardedRoute)


async def grant_of(request: Request) -> Grant:
    """Return what the guard found; a coroutine, as `_services` is."""
    return cast(Grant, request.state.grant)


Who = Annotated[Grant, Depends(grant_of)]


def authorise(request: Request, rule: Rule) -> Grant:
    """Return the grant; raises `UnauthenticatedError`, `ForbiddenError` or `NotFoundError`."""
    asked = Grant(request.client.host if request.client else "", request_id_of(request))
    hub = services_of(request)
    if rule in {"anyone", "shown"}:
        return asked
    workspace = str(request.path_params.get("workspace", ""))
    if rule == "device":
        return _of_device(request, hub, asked)
    if rule in {"puller", "pusher"}:
        return _of_registry(request, hub, asked, workspace)
    signed_in = replace(asked, signed_in=_caller(request, hub, asked.address))
    if rule == "Admin" and not signed_in.caller.administers:
        raise ForbiddenError("only the hub's administrator may do that")
    if rule in {"signed-in", "Admin"}:
        return signed_in
    return _member(hub, signed_in, workspace, rule)


def _member(hub: Services, asked: Grant, workspace: str, rule: str) -> Grant:
    role = asked.caller.role_in(workspace)
    if role is None:
        raise no_such_workspace(workspace)
    if not _is_there(hub, asked.caller, workspace):
        raise no_such_workspace(workspace)
    if RANK[role] < RANK[rule]:
        raise ForbiddenError(f"your role {role} does not allow it", where=workspace, fix=f"It takes {rule}.")
    return replace(asked, workspace=workspace)


def _is_there(hub: Services, caller: Caller, workspace: str) -> bool:
    """Is it there, and for the caller? An administrator may ask for one that is not."""
    if caller.role_in(workspace) is None:
        return False
    return workspace in caller.memberships or hub.workspaces.exists(workspace)


def no_such_workspace(workspace: str) -> NotFoundError:
    """Return the error for a workspace that is not there, or not for the caller."""
    return NotFoundError(
        "no such workspace", where=workspace, fix="`headland workspace list` shows those you may see."
    )


def _caller(request: Request, hub: Services, address: str) -> Caller:
    return hub.tokens.authenticate(_shown(request), address)


def _shown(request: Request) -> str:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise UnauthenticatedError("no token was shown", fix="Send `Authorization: Bearer TOKEN`.")
    return secret


def _of_registry(request: Request, hub: Services, asked: Grant, workspace: str) -> Grant:
    """A device may pull within its workspace, people do as they are there; else it is not there."""
    device = _device(request, hub)
    if device is not None:
        found = replace(asked, workspace=workspace, device=device)
        there = workspace in {"", device.workspace}
    else:
        secret, scopes = _shown(request), None
        if secret.startswith(REGISTRY_PREFIX):
            caller, scopes = hub.registry_tokens.authenticate(secret, asked.address)
        else:
            caller = hub.tokens.authenticate(secret, asked.address)
        found = replace(asked, workspace=workspace, signed_in=caller, scopes=scopes)
        there = not workspace or _is_there(hub, caller, workspace)
    if not there:
        raise RepositoryUnknownError("no such repository", where=workspace)
    if workspace:
        _require_action(found, repository_of(workspace, request.path_params["image"]), action_of(request))
    return found


def _of_device(request: Request, hub: Services, asked: Grant) -> Grant:
    device = _device(request, hub)
    if device is None:
        raise UnauthenticatedError(
            "no certificate of a device was shown", fix="Only an enrolled device may ask."
        )
    return replace(asked, workspace=device.workspace, device=device)


def action_of(request: Request) -> Action:
    """Return what a request to the registry does in its repository."""
    if "/blobs/uploads/" in request.url.path:
        return "push"
    return ACTION_OF.get(request.method, "push")


def _require_action(grant: Grant, repository: str, action: Action) -> None:
    if grant.may(repository, action):
        return
    if grant.device is not None:
        raise ForbiddenError("a device may only pull", where=repository)
    if not grant.caller.may(grant.workspace, NEEDS[action]):
        role = grant.caller.role_in(grant.workspace)
        raise ForbiddenError(
            f"your role {role} does not allow it", where=grant.workspace, fix=f"It takes {NEEDS[action]}."
        )
    raise ScopeMissingError(
        "the token is not for that", where=f"{repository}: {action}", fix="Ask for a token with that scope."
    )


def _device(request: Request, hub: Services) -> DeviceRow | None:
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
