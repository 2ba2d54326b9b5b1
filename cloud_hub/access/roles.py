"""Roles, and what each may do. Pure: one order, one question."""

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["Reader", "Contributor", "Owner", "Admin"]
"""``Admin`` is of the hub; the others are of one workspace. Each may do all that those before may."""

RANK = {role: rank for rank, role in enumerate(get_args(Role))}


@dataclass(frozen=True)
class Caller:
    """Who asks: a principal with a role in one workspace, or in all (``workspace`` is None)."""

    principal: str
    role: Role
    workspace: str | None

    def sees(self, workspace: str) -> bool:
        """May the caller know that the workspace exists?"""
        return self.workspace is None or self.workspace == workspace

    def may(self, role: Role) -> bool:
        """Is the caller's role at least ``role``?"""
        return RANK[self.role] >= RANK[role]
