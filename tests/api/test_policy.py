"""Every route by every kind of caller: what the policy says is what happens."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from cloud_hub.access.policy import IN_WORKSPACE, POLICY
from cloud_hub.access.roles import RANK, Role
from cloud_hub.api.app import require_policy
from cloud_hub.api.auth import GuardedRoute, guarded_router
from tests.api.conftest import World, bearer

ALLOWED, NOBODY, NOT_ENOUGH, NOT_THERE = "allowed", "unauthenticated", "forbidden", "no such workspace"


@dataclass(frozen=True)
class Person:
    """A kind of caller: how they get a token, their role in ``shop``, whether the hub is theirs."""

    name: str
    token: Callable[[World], str | None]
    role: Role | None = None
    admin: bool = False
    signed_in: bool = True


def _member(role: Role, **options: object) -> Callable[[World], str]:
    return lambda world: world.token(role.lower(), {"shop": role}, **options)  # type: ignore[arg-type]


PEOPLE = (
    Person("nobody", lambda _: None, signed_in=False),
    Person("made-up token", lambda _: "hlp_" + "x" * 43, signed_in=False),
    Person("stranger", lambda world: world.token("zoe", {})),
    Person("owner of another", lambda world: world.token("lars", {"lab": "Owner"})),
    Person("reader", _member("Reader"), "Reader"),
    Person("contributor", _member("Contributor"), "Contributor"),
    Person("owner", _member("Owner"), "Owner"),
    Person("owner, token for reading", _member("Owner", cap="Reader"), "Reader"),
    Person("owner, token for the other", _member("Owner", only="lab")),
    Person("administrator", lambda world: world.administrator(), "Admin", admin=True),
)


def expected(rule: str, person: Person, in_workspace: bool) -> str:
    """Return what the policy promises."""
    if rule in {"anyone", "shown"}:
        return ALLOWED
    if not person.signed_in or rule == "device":
        return NOBODY
    if rule == "signed-in":
        return ALLOWED
    if rule == "Admin":
        return ALLOWED if person.admin else NOT_ENOUGH
    if not in_workspace:
        return ALLOWED
    if person.role is None:
        return NOT_THERE
    least = {"puller": "Reader", "pusher": "Contributor"}.get(rule, rule)
    return ALLOWED if RANK[person.role] >= RANK[least] else NOT_ENOUGH


def happened(client: httpx.Client, route: str, token: str | None) -> str:
    """Send a request without a sensible body; return what came of it."""
    method, _, path = route.partition(" ")
    path = re.sub(r"\{(\w+)\}", lambda found: "shop" if found[1] == "workspace" else "thing", path)
    answer = client.request(method, path, json={}, headers=bearer(token) if token else {})
    assert answer.status_code < 500, f"{route}: {answer.text}"
    if answer.status_code == 401:
        # A route that checks a credential of its own refuses in other words.
        return (
            NOBODY
            if re.search("no token was shown|no certificate of a device|token is not known", answer.text)
            else ALLOWED
        )
    if answer.status_code == 403:
        return NOT_ENOUGH
    if method == "HEAD":
        return ALLOWED
    of_workspace = "{workspace}" in route and answer.status_code == 404
    hidden = of_workspace and re.search("no such (workspace|repository)", answer.text)
    return NOT_THERE if hidden else ALLOWED


def routes(app: FastAPI) -> Iterator[str]:
    """Return every route of the application with each of its methods."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            yield from (f"{method} {route.path}" for method in sorted(route.methods or ()))


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_each_route_is_open_to_whom_the_policy_names(world: World, person: Person) -> None:
    wrong = []
    token = person.token(world)
    # Logging out comes last: it ends the token.
    for route in sorted(routes(world.app), key=lambda route: route.endswith("/session")):
        if route.startswith("HEAD"):
            continue  # the GET beside it says the same with words
        if not person.signed_in:
            world.forget_attempts()
        promise = expected(POLICY[route], person, "{workspace}" in route)
        result = happened(world.client, route, token)
        if result != promise:
            wrong.append(f"{route}: {result}, and not {promise}")
    assert wrong == []


def test_the_matrix_finds_a_route_that_is_more_open_than_the_policy_says(world: World) -> None:
    reader = next(person for person in PEOPLE if person.name == "reader")
    route = "GET /api/v1/workspaces/{workspace}/models"
    assert happened(world.client, route, reader.token(world)) != expected("Owner", reader, in_workspace=True)


def test_the_policy_names_no_route_that_is_not_there(world: World) -> None:
    assert set(POLICY) == set(routes(world.app))


def test_readers_change_nothing() -> None:
    assert {
        route
        for route, rule in IN_WORKSPACE.items()
        if rule == "Reader" and not route.startswith(("GET", "HEAD"))
    } == {"POST /telemetry/query"}


def test_a_route_that_the_policy_does_not_name_stops_the_application(world: World) -> None:
    planted = guarded_router("/planted", "planted")

    @planted.get("")
    def forgotten() -> str:
        return "open to everyone"

    world.app.router.routes.extend(planted.routes)
    with pytest.raises(LookupError, match="GET /planted"):
        require_policy(world.app)


def test_a_route_that_nothing_guards_stops_the_application(world: World) -> None:
    planted = APIRouter(prefix="/api/v1/workspaces/{workspace}")

    @planted.get("/models")
    def unguarded() -> str:
        return "open to everyone"

    world.app.router.routes.extend(planted.routes)
    with pytest.raises(LookupError, match="models"):
        require_policy(world.app)


def test_a_workspace_that_is_not_there_and_one_of_others_look_the_same(world: World) -> None:
    token = world.token("zoe", {"lab": "Owner"})
    answers = []
    for workspace in ("shop", "nowhere"):
        answer = world.client.get(f"/api/v1/workspaces/{workspace}/models", headers=bearer(token))
        body = answer.json() | {"request_id": "", "where": ""}
        answers.append((answer.status_code, body))
    assert answers[0] == answers[1]


def test_the_check_comes_before_the_body_is_read(world: World) -> None:
    answer = world.client.post(
        "/api/v1/workspaces/shop/models", content=b"{ not json", headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 401


def test_guarded_routes_stay_guarded_when_they_are_included(world: World) -> None:
    assert all(isinstance(route, GuardedRoute) for route in world.app.routes if isinstance(route, APIRoute))
