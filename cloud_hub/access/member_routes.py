"""HTTP: who shares a workspace, its services and their tokens."""

from datetime import timedelta

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.access.rows import MembershipRow
from cloud_hub.access.schemas import (
    MemberAnswer,
    MemberAsk,
    SecretAnswer,
    ServiceAsk,
    ServiceTokenAsk,
    TokenAnswer,
    secret_answer,
)
from cloud_hub.api.auth import Hub, Who, guarded_router

router = guarded_router(WORKSPACE, "members")


@router.get("/members")
def members(hub: Hub, who: Who) -> list[MemberAnswer]:
    """Return the workspace's people and services."""
    return [_member(member, principal.kind) for member, principal in hub.members.all_in(who.workspace)]


@router.put("/members/{member}")
def share(member: str, ask: MemberAsk, hub: Hub, who: Who) -> MemberAnswer:
    """Make a person a member, or change their role."""
    return _member(hub.members.share(who.workspace, member, ask.role), "person")


@router.delete("/members/{member}", status_code=204)
def unshare(member: str, hub: Hub, who: Who) -> None:
    """End a membership."""
    hub.members.unshare(who.workspace, member)


@router.post("/services", status_code=201)
def create_service(ask: ServiceAsk, hub: Hub, who: Who) -> MemberAnswer:
    """Add a service."""
    row = hub.members.create_service(who.workspace, ask.name, ask.role, who.caller.principal)
    return _member(row, "service")


@router.delete("/services/{service}", status_code=204)
def delete_service(service: str, hub: Hub, who: Who) -> None:
    """End a service and its tokens."""
    hub.members.delete_service(who.workspace, service)


@router.get("/services/{service}/tokens")
def service_tokens(service: str, hub: Hub, who: Who) -> list[TokenAnswer]:
    """Return a service's tokens, newest first."""
    rows = hub.tokens.of(hub.members.service(who.workspace, service))
    return [TokenAnswer.model_validate(row) for row in rows]


@router.post("/services/{service}/tokens", status_code=201)
def create_service_token(service: str, ask: ServiceTokenAsk, hub: Hub, who: Who) -> SecretAnswer:
    """Make a token for a service."""
    made = hub.members.create_service_token(
        who.workspace, service, lifetime=timedelta(days=ask.days), label=ask.label
    )
    return secret_answer(made)


@router.delete("/services/{service}/tokens/{token}", status_code=204)
def revoke_service_token(service: str, token: str, hub: Hub, who: Who) -> None:
    """Take a service's token back."""
    hub.tokens.revoke(hub.members.service(who.workspace, service), token)


def _member(row: MembershipRow, kind: str) -> MemberAnswer:
    return MemberAnswer(principal=row.principal, kind=kind, role=row.role, created_at=row.created_at)
