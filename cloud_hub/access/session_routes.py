"""HTTP: logging in and out, one's own password and tokens."""

from datetime import timedelta

from cloud_hub.access.policy import API
from cloud_hub.access.schemas import (
    AcceptAsk,
    LoginAsk,
    MeAnswer,
    PasswordAsk,
    SecretAnswer,
    TokenAnswer,
    TokenAsk,
    secret_answer,
)
from cloud_hub.api.auth import Hub, Who, guarded_router

router = guarded_router(API, "session")


@router.post("/session", status_code=201)
def log_in(ask: LoginAsk, hub: Hub, who: Who) -> SecretAnswer:
    """Log in; the answer's token works for some hours."""
    return secret_answer(hub.people.log_in(ask.user, ask.password.get_secret_value(), who.asked))


@router.post("/session/invitation", status_code=201)
def accept(ask: AcceptAsk, hub: Hub, who: Who) -> SecretAnswer:
    """Choose a password with an invitation, and log in."""
    return secret_answer(hub.people.accept(ask.token, ask.password.get_secret_value(), who.asked))


@router.delete("/session", status_code=204)
def log_out(hub: Hub, who: Who) -> None:
    """End the token that is shown."""
    hub.tokens.revoke(who.caller.principal, who.caller.token, who.by)


@router.get("/me")
def me(hub: Hub, who: Who) -> MeAnswer:
    """Return who is asking, and what they are where."""
    caller = who.caller
    names = [row.name for row in hub.workspaces.visible_to(caller)]
    roles = {name: role for name in names if (role := caller.role_in(name)) is not None}
    return MeAnswer(
        principal=caller.principal, admin=caller.administers, token=caller.token, roles=dict(roles)
    )


@router.put("/me/password")
def change_password(ask: PasswordAsk, hub: Hub, who: Who) -> SecretAnswer:
    """Change one's own password; every earlier token ends."""
    old, new = ask.old.get_secret_value(), ask.new.get_secret_value()
    return secret_answer(hub.people.change_password(old, new, who.by))


@router.get("/me/tokens")
def tokens(hub: Hub, who: Who) -> list[TokenAnswer]:
    """Return one's own tokens, newest first."""
    return [TokenAnswer.model_validate(row) for row in hub.tokens.of(who.caller.principal)]


@router.post("/me/tokens", status_code=201)
def create_token(ask: TokenAsk, hub: Hub, who: Who) -> SecretAnswer:
    """Make a token of one's own that may do no more than the one that is shown."""
    made = hub.tokens.create_for(
        who.caller,
        role=ask.role,
        workspace=ask.workspace,
        lifetime=timedelta(days=ask.days),
        label=ask.label,
        by=who.by,
    )
    return secret_answer(made)


@router.delete("/me/tokens/{token}", status_code=204)
def revoke(token: str, hub: Hub, who: Who) -> None:
    """Take one of one's own tokens back."""
    hub.tokens.revoke(who.caller.principal, token, who.by)
