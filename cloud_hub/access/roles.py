"""Roles, and what a caller holds in a workspace. Pure: one order, a few questions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["Reader", "Contributor", "Owner", "Admin"]
"""``Admin`` is of the hub; the others are of one workspace. Each may do all that those before may."""

WorkspaceRole = Literal["Reader", "Contributor", "Owner"]

RANK: dict[str, int] = {role: rank for rank, role in enumerate(get_args(Role))}


def least(one: Role, other: Role) -> Role:
    """Return the role that may do less."""
    return one if RANK[one] <= RANK[other] else other


@dataclass(frozen=True)
class Caller:
    """Who asks, as one of their tokens shows.

    ``cap`` is the most that the token may be used for, ``only`` the one workspace it is for (None:
    all of the principal's); ``memberships`` maps workspaces to the principal's own roles.
    """

    principal: str
    token: str
    cap: Role
    only: str | None
    admin: bool
    memberships: Mapping[str, Role]

    @property
    def administers(self) -> bool:
        """Is the hub theirs to administer, with this token?"""
        return self.admin and self.cap == "Admin" and self.only is None

    def role_in(self, workspace: str) -> Role | None:
        """Return what the caller is in a workspace; None: for them it is not there."""
        if self.only not in {None, workspace}:
            return None
        own: Role | None = "Admin" if self.admin else self.memberships.get(workspace)
        return least(own, self.cap) if own is not None else None

    def may(self, workspace: str, role: Role) -> bool:
        """Is the caller at least ``role`` there?"""
        held = self.role_in(workspace)
        return held is not None and RANK[held] >= RANK[role]
