"""docs/api.md: every route has its name in the SDK and its command, or says why not; each claim holds."""

import ast
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import cloud_hub.sdk
from cloud_hub.access.policy import POLICY
from cloud_hub.cli.app import app
from cloud_hub.sdk import Workspace
from tests.docs.doors import SDK, blank, reached, sdk_requests, trees
from tests.docs.pages import page, rows_under
from tests.docs.test_commands import commands

CLASSES = {
    "hub": ("Hub",),
    "hub.session": ("Session",),
    "hub.tokens": ("Tokens",),
    "hub.users": ("Users",),
    "hub.audit": ("AuditLog",),
    "workspace": ("Workspace", "ModelCalls", "ImageCalls", "BuildCalls", "RolloutCalls", "EnrolmentCalls"),
    "workspace.members": ("Members",),
    "workspace.datastores": ("Datastores",),
    "workspace.webhooks": ("Webhooks",),
    "workspace.audit": ("AuditLog",),
    "datastore": ("Datastore",),
    "experiment": ("Experiment",),
    "run": ("Run",),
}
"""Where a name of the page is in the SDK."""
Requests = dict[str, set[str]]
Calls = dict[str, set[str]]


def names_in(cell: str) -> list[str]:
    """Return the names in a cell; none where it gives a reason in words."""
    words = re.sub(r"`[^`]*`", "", cell).strip()
    return [] if words else re.findall(r"`([^`]+)`", cell)


def says_something(cell: str) -> bool:
    """Has a cell a name, or at least some words for a reason?"""
    return bool(names_in(cell)) or len(cell.split()) > 2


def called_by_commands() -> Calls:
    """Return what each command calls, by its words."""
    found = {}
    for words, command in commands(app).items():
        function = inspect.unwrap(command.callback)
        module = ast.parse(Path(inspect.getfile(function)).read_text())
        found[words] = reached(module, function.__name__)
    return found


def asks(name: str, route: str, requests: Requests) -> bool:
    """Does a method of the SDK, named as the page names it, ask for a route?"""
    place, _, method = name.rpartition(".")
    return any(blank(route) in requests.get(f"{kind}.{method}", ()) for kind in CLASSES.get(place, ()))


def uses(command: str, names: list[str], calls: Calls) -> bool:
    """Does a command call one of the names?"""
    used = calls.get(command, set())
    for name in names:
        place, _, method = name.rpartition(".")
        inner = place.rpartition(".")[2] if "." in place and not place.endswith(".audit") else ""
        if (f"{inner}.{method}" if inner else method) in used:
            return True
    return False


def faults(text: str, requests: Requests, calls: Calls) -> list[str]:
    """Return the routes of a page with no door and no reason, and the doors that are none."""
    found = []
    for route, (_, _, python, command) in rows_under(text, "route", "who", "Python", "command").items():
        names, words = names_in(python), names_in(command)
        if not (says_something(python) and says_something(command)):
            found.append(f"{route}: no door and no reason")
        found += [f"{route}: {name} does not ask for it" for name in names if not asks(name, route, requests)]
        found += [f"{route}: `{one}` does not use it" for one in words if not uses(one, names, calls)]
    return found


def without_rows(text: str) -> set[str]:
    """Return the routes of the hub that a page leaves out, and those that it invents."""
    return POLICY.keys() ^ rows_under(text, "route", "who", "Python", "command").keys()


def test_every_route_has_its_doors_and_every_claim_holds() -> None:
    assert without_rows(page("api.md")) == set()
    assert faults(page("api.md"), sdk_requests(trees(SDK)), called_by_commands()) == []


def test_every_request_of_the_sdk_is_a_route() -> None:
    asked = set().union(*sdk_requests(trees(SDK)).values())
    assert len(asked) > len(POLICY) / 2
    assert asked - {blank(route) for route in POLICY} == set()


def test_planted_faults_of_the_page_are_found() -> None:
    text, requests, calls = page("api.md"), sdk_requests(trees(SDK)), called_by_commands()
    row = next(line for line in text.splitlines() if "`GET /api/v1/users`" in line)

    def planted(line: str) -> list[str]:
        return faults(text.replace(row, line), requests, calls)

    route = "GET /api/v1/users"
    assert planted(row.replace("`hub.users.all`", "")) == [
        f"{route}: no door and no reason",
        f"{route}: `headland user list` does not use it",
    ]
    assert planted(row.replace("`headland user list`", "-")) == [f"{route}: no door and no reason"]
    assert (
        planted(row.replace("users.all", "users.create"))[0]
        == f"{route}: hub.users.create does not ask for it"
    )
    assert planted(row.replace("user list", "token list")) == [
        f"{route}: `headland token list` does not use it"
    ]
    assert without_rows(text.replace(f"{row}\n", "")) == {route}


def test_a_planted_method_that_asks_for_no_route_is_found() -> None:
    source = "class Planted:\n    def f(self, x):\n        self._client.get(f'/planted/{x}', int)\n"
    assert sdk_requests([ast.parse(source)]) == {"Planted.f": {"GET /api/v1/planted/{}"}}


def test_the_places_of_the_page_are_those_of_the_sdk() -> None:
    workspace = Workspace(cast(Any, None), "shop")
    for place in ("members", "datastores", "webhooks", "audit"):
        assert type(getattr(workspace, place)).__name__ in CLASSES[f"workspace.{place}"]
    hub = (SDK / "hub.py").read_text()
    for place in ("session", "tokens", "users"):
        assert f"self.{place} = {CLASSES[f'hub.{place}'][0]}(" in hub


def not_exported(names: set[str]) -> set[str]:
    """Return the SDK's classes that its public methods return or take and that are not among the names."""
    return {
        kind.__name__
        for name in names
        if inspect.isclass(one := getattr(cloud_hub.sdk, name))
        for _, method in inspect.getmembers(one, inspect.isfunction)
        if not method.__name__.startswith("_")
        for hint in typing.get_type_hints(method).values()
        for kind in _classes(hint)
        if kind.__module__.startswith("cloud_hub.sdk") and kind.__name__ not in names
    }


def _classes(hint: Any) -> Iterator[type]:
    if inspect.isclass(hint) and not typing.get_args(hint):
        yield hint
    for inner in typing.get_args(hint):
        if not isinstance(inner, list | tuple):
            yield from _classes(inner)


def test_everything_that_the_sdk_returns_can_be_named() -> None:
    names = set(cloud_hub.sdk.__all__)
    assert not_exported(names) == set()
    assert not_exported(names - {"Difference", "Member"}) == {"Difference", "Member"}
