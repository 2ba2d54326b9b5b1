"""What a manifest would change on a device: pure, from the document in force and the one that would come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from contract.agent_release import ORDERED_AS
from contract.desired import Desired, ImageRef, Module

Kind = Literal["start", "update", "settings", "stop", "keep"]
"""``settings``: the same image, run in another way; ``stop``: the module is no longer wanted."""


@dataclass(frozen=True)
class Change:
    """What becomes of one module, or of the agent: the names of its images now and then."""

    module: str
    kind: Kind
    now: str
    then: str


@dataclass(frozen=True)
class DevicePlan:
    """What a device would get, in which wave (from 0) and generation, in place of which rollout."""

    device: str
    wave: int
    generation: int
    replaces: str
    changes: tuple[Change, ...]

    @property
    def changed(self) -> bool:
        """Would anything on it be another than now?"""
        return any(change.kind != "keep" for change in self.changes)


def changes(now: Desired | None, then: Desired) -> tuple[Change, ...]:
    """Return what becomes of each module that is there now or then, by name, and of the agent."""
    held, wanted = _modules(now), _modules(then)
    found = [_change(name, held.get(name), wanted.get(name)) for name in sorted(held.keys() | wanted.keys())]
    if isinstance(then.agent, ImageRef):
        before = now.agent if now is not None and isinstance(now.agent, ImageRef) else None
        kind: Kind = "keep" if before == then.agent else "update"
        found.append(Change(ORDERED_AS, kind, before.name if before else "", then.agent.name))
    return tuple(found)


def _modules(document: Desired | None) -> Mapping[str, Module]:
    return {module.name: module for module in document.modules} if document is not None else {}


def _change(name: str, now: Module | None, then: Module | None) -> Change:
    if then is None:
        return Change(name, "stop", now.image.name if now else "", "")
    if now is None:
        return Change(name, "start", "", then.image.name)
    if now.image.digest != then.image.digest:
        kind: Kind = "update"
    else:
        kind = "keep" if now == then else "settings"
    return Change(name, kind, now.image.name, then.image.name)
