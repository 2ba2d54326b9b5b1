"""HTTP: the hub's people, for its administrator."""

from cloud_hub.access.policy import API
from cloud_hub.access.schemas import InvitationAnswer, UserAnswer, UserAsk, UserChangeAsk
from cloud_hub.access.tokens import INVITATION
from cloud_hub.api.auth import Hub, Who, guarded_router

router = guarded_router(f"{API}/users", "users")

HOURS = int(INVITATION.total_seconds() // 3600)


@router.get("")
def users(hub: Hub) -> list[UserAnswer]:
    """Return everyone by name."""
    return [UserAnswer.model_validate(row) for row in hub.people.all()]


@router.post("", status_code=201)
def create(ask: UserAsk, hub: Hub, who: Who) -> InvitationAnswer:
    """Add a person; the invitation lets them choose a password."""
    token = hub.people.create(ask.name, admin=ask.admin, by=who.by)
    return InvitationAnswer(user=ask.name, token=token, hours=HOURS)


@router.post("/{user}/invitation", status_code=201)
def invite(user: str, hub: Hub, who: Who) -> InvitationAnswer:
    """Let a person choose a new password."""
    return InvitationAnswer(user=user, token=hub.people.invite(user, who.by), hours=HOURS)


@router.patch("/{user}")
def change(user: str, ask: UserChangeAsk, hub: Hub, who: Who) -> UserAnswer:
    """Disable or enable a person, or give or take the hub's administration."""
    row = hub.people.change(user, disabled=ask.disabled, admin=ask.admin, by=who.by)
    return UserAnswer.model_validate(row)
