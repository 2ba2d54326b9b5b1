"""Bodies of the routes of access."""

from datetime import datetime
from typing import Literal

from pydantic import Field, SecretStr

from cloud_hub.access.rows import TokenRow
from cloud_hub.api.schemas import Answer, Ask

Password = SecretStr
RoleName = Literal["Owner", "Contributor", "Reader"]


class LoginAsk(Ask):
    """A name and a password."""

    user: str = Field(min_length=1, max_length=200)
    password: Password


class AcceptAsk(Ask):
    """An invitation's token, and the password to have from now on."""

    token: str = Field(min_length=1, max_length=200)
    password: Password


class PasswordAsk(Ask):
    """A change of one's own password."""

    old: Password
    new: Password


class TokenAsk(Ask):
    """A token for oneself: the most it may do, the one workspace it is for, how long it works.

    Without a role it may do what the token that is shown may, short of administering the hub.
    """

    role: Literal["Admin", "Owner", "Contributor", "Reader"] | None = None
    workspace: str | None = None
    days: int = Field(default=30, ge=1, le=366)
    label: str = Field(default="", max_length=200)


class ServiceTokenAsk(Ask):
    """A token for a service."""

    days: int = Field(default=30, ge=1, le=366)
    label: str = Field(default="", max_length=200)


class UserAsk(Ask):
    """A new person."""

    name: str
    admin: bool = False


class UserChangeAsk(Ask):
    """What to change of a person."""

    disabled: bool | None = None
    admin: bool | None = None


class MemberAsk(Ask):
    """What a person shall be in the workspace."""

    role: RoleName


class ServiceAsk(Ask):
    """A new service of the workspace."""

    name: str
    role: RoleName


class SecretAnswer(Answer):
    """A token's secret, shown this once, and what names it in lists."""

    id: str
    token: str
    principal: str
    expires_at: datetime | None


class TokenAnswer(Answer):
    """A token without its secret."""

    id: str
    purpose: str
    label: str
    role: str
    workspace: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class MeAnswer(Answer):
    """Who is asking, and what they are where."""

    principal: str
    admin: bool
    token: str
    roles: dict[str, str]


class UserAnswer(Answer):
    """A person of the hub."""

    name: str
    admin: bool
    created_by: str
    created_at: datetime
    disabled_at: datetime | None


class InvitationAnswer(Answer):
    """An invitation to choose a password; its token is shown this once."""

    user: str
    token: str
    hours: int


class MemberAnswer(Answer):
    """A member of a workspace."""

    principal: str
    kind: str
    role: str
    created_at: datetime


def secret_answer(made: tuple[str, TokenRow]) -> SecretAnswer:
    """Return the answer for a token that was just made."""
    secret, row = made
    return SecretAnswer(id=row.id, token=secret, principal=row.principal, expires_at=row.expires_at)
