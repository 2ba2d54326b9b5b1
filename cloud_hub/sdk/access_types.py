"""What the hub answers of people, members and tokens, typed."""

from datetime import datetime

import msgspec


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was just made; ``token`` is its secret, shown this once."""

    id: str
    token: str
    principal: str
    expires_at: datetime | None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret: the most it may do, and the workspace it is for (None: all)."""

    id: str
    purpose: str
    label: str
    role: str
    workspace: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who you are; ``roles`` by workspace, as the token that you show allows."""

    principal: str
    admin: bool
    token: str
    roles: dict[str, str]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person of the hub."""

    name: str
    admin: bool
    created_by: str
    created_at: datetime
    disabled_at: datetime | None


class UserInvitation(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation to choose a password, and how many hours it works."""

    user: str
    token: str
    hours: int


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A person or service of a workspace."""

    principal: str
    kind: str
    role: str
    created_at: datetime
