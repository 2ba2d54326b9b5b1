"""Every route by a device's certificate: what opens is its own, and no byte of others comes out.

Judged by what arrives: canaries lie in another workspace, and in what is not for devices of its own.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from agent.identity.enrol import enrol
from cloud_hub.access.policy import POLICY
from cloud_hub.sdk import Workspace
from cloud_hub.secrets.text import SecretText
from contract.digests import sha256
from tests.api.conftest import ADMIN, World, bearer
from tests.api.images import BY, of_platforms, push
from tests.api.test_device_secrets import invite

CANARY = b"canary-of-lab"
OWN = b"layer of shop"
OPEN = {"anyone", "shown"}
Door = Callable[[str], httpx.Client]


@pytest.fixture
def filled(world: World, shop: Workspace) -> World:
    """A hub whose workspaces have images and secrets; those of lab, and a secret of shop, have canaries."""
    push(world.services, "shop/digits", of_platforms(OWN)[0], tags=("a",))
    push(world.services, "lab/digits", of_platforms(CANARY)[0], tags=("a",))
    shop.register_image("digits", "a")
    for workspace in ("shop", "lab"):
        world.services.secrets.write(workspace, "db", SecretText(f"{CANARY.decode()} {workspace}"), BY)
    return world


@pytest.fixture
def door(filled: World, tmp_path: Path) -> Iterator[Door]:
    """Make the client of a device of a workspace: ``workspace/name``."""
    clients: list[httpx.Client] = []

    def make(name: str) -> httpx.Client:
        workspace, _, device = name.partition("/")
        identity = enrol(invite(filled, device, workspace=workspace), tmp_path / device)
        clients.append(httpx.Client(base_url=filled.client.base_url, verify=identity.tls_context()))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def asked(workspace: str, layer: bytes) -> Iterator[tuple[str, str, str]]:
    """Return each route, its method, and its path with names that are there."""
    manifest = of_platforms(layer)[0]
    names = {
        "workspace": workspace,
        "image": "digits",
        "name": "digits",
        "secret": "db:1",
        "device": "cam-1",
        "version": "1",
        "person": "admin",
    }
    # Logging out comes last: it ends a person's token.
    for route in sorted(POLICY, key=lambda route: (route.endswith("/session"), route)):
        method, _, path = route.partition(" ")
        for digest in (manifest.digest, sha256(layer)) if "{digest}" in path else (manifest.digest,):
            there = names | {"reference": manifest.digest, "digest": digest}
            yield route, method, re.sub(r"\{(\w+)\}", lambda found: there.get(found[1], "1"), path)  # noqa: B023


def crossed(
    client: httpx.Client, workspace: str, layer: bytes, canary: bytes, headers: dict[str, str] | None = None
) -> tuple[set[str], set[str]]:
    """Ask for everything; return the routes that said yes, and those whose answers hold the canary."""
    opened, leaked = set[str](), set[str]()
    for route, method, path in asked(workspace, layer):
        answer = client.request(method, path, json={}, headers=headers)
        assert answer.status_code < 500, f"{route}: {answer.text}"
        if answer.is_success:
            opened.add(route)
        if canary in answer.content:
            leaked.add(route)
    return opened, leaked


def test_no_byte_of_another_workspace_comes_to_a_device(door: Door) -> None:
    opened, leaked = crossed(door("shop/cam-1"), "lab", CANARY, CANARY)
    assert leaked == set()
    rules = {route: POLICY[route] for route in opened}
    assert {route for route, rule in rules.items() if rule not in OPEN} == {
        "GET /v2/",
        "GET /api/v1/device/certificate",
    }, "only what is about itself"


def test_control_the_same_requests_by_a_device_of_that_workspace_find_the_canary(door: Door) -> None:
    _, leaked = crossed(door("lab/cam-1"), "lab", CANARY, CANARY)
    assert leaked == {"GET /v2/{workspace}/{image}/blobs/{digest}"}


def test_of_its_own_workspace_a_device_pulls_and_nothing_else(filled: World, door: Door) -> None:
    client = door("shop/cam-1")
    opened, leaked = crossed(client, "shop", OWN, CANARY)
    assert leaked == set(), "no secret that its document does not name"
    assert {route for route in opened if POLICY[route] not in {*OPEN, "puller", "device"}} == set()
    headers = bearer(filled.token("olga", {"shop": "Owner"}))
    opened_to_people, _ = crossed(filled.client, "shop", OWN, CANARY, headers)
    assert len(opened_to_people - opened) > 10, "the control: the same requests open doors for an Owner"


def test_a_revoked_device_gets_nothing_that_is_not_for_anyone(filled: World, door: Door) -> None:
    client = door("shop/cam-1")
    assert client.get("/v2/").is_success
    filled.services.devices.revoke("shop", "cam-1", ADMIN)
    opened, leaked = crossed(client, "shop", OWN, OWN)
    assert leaked == set()
    assert {route for route in opened if POLICY[route] not in OPEN} == set()
