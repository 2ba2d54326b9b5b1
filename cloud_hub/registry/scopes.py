"""Scopes of the token protocol of registries: ``repository:ws/image:pull,push``. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from cloud_hub.access.roles import Caller, Role
from cloud_hub.registry.names import workspace_of

Action = Literal["pull", "push", "delete"]
ACTIONS: Final = frozenset(get_args(Action))
NEEDS: Final[Mapping[str, Role]] = {"pull": "Reader", "push": "Contributor", "delete": "Contributor"}
MOST_SCOPES: Final = 50

Scopes = Mapping[str, frozenset[str]]
"""By repository, what may be done in it."""


def parse_scopes(asked: Iterable[str]) -> dict[str, frozenset[str]]:
    """Read what clients ask for, one scope each or several with spaces; what is no repository is left out.

    ``*`` stands for every action, as skopeo asks for to delete.
    """
    found: dict[str, frozenset[str]] = {}
    for scope in [each for text in asked for each in text.split()][:MOST_SCOPES]:
        kind, _, rest = scope.partition(":")
        repository, _, words = rest.rpartition(":")
        actions = frozenset(words.split(","))
        if kind != "repository" or not repository:
            continue
        wanted = ACTIONS if "*" in actions else actions & ACTIONS
        found[repository] = found.get(repository, frozenset()) | wanted
    return found


def granted(caller: Caller, asked: Scopes) -> dict[str, frozenset[str]]:
    """Return what of ``asked`` the caller may do; nothing of a workspace that is not there for them."""
    found = {
        repository: frozenset(each for each in actions if caller.may(workspace_of(repository), NEEDS[each]))
        for repository, actions in asked.items()
    }
    return {repository: actions for repository, actions in found.items() if actions}


def scope(repository: str, actions: Iterable[str]) -> str:
    """Write a scope."""
    return f"repository:{repository}:{','.join(actions)}"
