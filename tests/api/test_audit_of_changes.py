"""Every route that changes something leaves exactly one entry in the audit log; what fails leaves none."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute

from cloud_hub.access.policy import API, NOT_AUDITED, POLICY, WORKSPACE, in_workspace
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Filters
from contract.digests import sha256
from contract.enrolment import EnrolRequest
from tests.api.conftest import ADMIN, PASSWORD, World, bearer
from tests.api.images import of_platform, push
from tests.hub.test_devices import csr
from tests.hub.test_models import as_bytes, onnx_model


@dataclass(frozen=True)
class Change:
    """A call that changes something: its body, what its path names, and the action that the log tells."""

    action: str
    body: dict[str, Any] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    before: Callable[[World], dict[str, str]] = lambda _: {}


def _user(world: World) -> dict[str, str]:
    send(world, f"POST {API}/users", Change("", {"name": "ana"}))
    return {"user": "ana"}


def _invited(world: World) -> dict[str, str]:
    return {"token": str(send(world, f"POST {API}/users", Change("", {"name": "ana"})).json()["token"])}


def _with_password(world: World) -> dict[str, str]:
    body = {**_invited(world), "password": PASSWORD}
    send(world, f"POST {API}/session/invitation", Change("", body))
    return {}


def _service(world: World) -> dict[str, str]:
    send(world, in_workspace("POST /services"), Change("", {"name": "ci", "role": "Reader"}))
    return {"service": "ci"}


def _service_token(world: World) -> dict[str, str]:
    names = _service(world)
    made = send(world, in_workspace("POST /services/{service}/tokens"), Change("", path=names)).json()
    return {**names, "token": made["id"]}


def _own_token(world: World) -> dict[str, str]:
    return {"token": str(send(world, f"POST {API}/me/tokens", Change("")).json()["id"])}


def _member(world: World) -> dict[str, str]:
    _user(world)
    share = in_workspace("PUT /members/{member}")
    send(world, share, Change("", {"role": "Reader"}, {"member": "ana"}))
    return {"member": "ana"}


def _secret(world: World) -> dict[str, str]:
    send(world, in_workspace("PUT /secrets/{secret}"), Change("", {"value": "x"}, {"secret": "key"}))
    return {"secret": "key"}


def _webhook(world: World) -> dict[str, str]:
    body = {"url": "https://192.0.32.10/hook"}  # an address of IANA's; nothing is sent to it
    return {"webhook": str(send(world, in_workspace("POST /webhooks"), Change("", body)).json()["id"])}


def _device(world: World) -> dict[str, str]:
    send(world, in_workspace("POST /devices"), Change("", {"device": "cam-9"}))
    return {"device": "cam-9"}


def _claim(world: World) -> dict[str, str]:
    send(world, in_workspace("POST /device-claims"), Change("", {"name": "line"}))
    return {"claim": "line"}


def _pending(world: World) -> dict[str, str]:
    """A device that waits by a claim."""
    made = world.services.claims.create("shop", "line", timedelta(hours=1), 1, {}, ADMIN)
    asked = EnrolRequest(token=made.token, csr_pem=csr(), device="cam-9")
    world.services.claims.ask(asked, Actor(""))
    return {"device": "cam-9"}


def _waiting(world: World) -> dict[str, str]:
    row = world.services.activities.start("shop", "image-build", "admin", {})
    return {"activity": row.id}


def _uploaded(world: World) -> dict[str, str]:
    data = as_bytes(onnx_model())
    answer = world.client.put(
        f"{WORKSPACE.format(workspace='shop')}/blobs/{sha256(data)}",
        content=data,
        headers=bearer(world.admin_token),
    )
    assert answer.is_success, answer.text
    return {"digest": sha256(data)}


def _model(world: World) -> dict[str, str]:
    body = {"name": "digits", **_uploaded(world)}
    send(world, in_workspace("POST /models"), Change("", body))
    return {"model": "digits:1"}


def _pushed(world: World) -> dict[str, str]:
    push(world.services, "shop/digits", of_platform("amd64", b"layer"), tags=("edge",))
    return {}


def _image(world: World) -> dict[str, str]:
    _pushed(world)
    body = {"name": "digits", "reference": "edge"}
    send(world, in_workspace("POST /images"), Change("", body))
    return {"image": "digits:1"}


def _attached(world: World) -> dict[str, str]:
    send(world, in_workspace("POST /datastores"), Change("", {"name": "second"}))
    return {"datastore": "second"}


def _running(world: World) -> dict[str, str]:
    """A rollout in waves that has begun, and given nothing yet."""
    return _rollout(world, "waves: [{count: 1}]")


def _paused(world: World) -> dict[str, str]:
    names = _running(world)
    send(world, in_workspace("POST /rollouts/{rollout}/pause"), Change("", path=names))
    return names


def _awaiting(world: World) -> dict[str, str]:
    names = _rollout(world, "waves: [{count: 1, approval: true}]")
    world.services.conductor.tick()
    return names


def _rollout(world: World, strategy: str) -> dict[str, str]:
    device, image = _device(world)["device"], _image(world)["image"]
    text = (
        "apiVersion: headland/v1\nkind: Rollout\nmetadata: {name: line}\nspec:\n"
        f"  target: {{devices: [{device}]}}\n  strategy: {{{strategy}}}\n"
        f"  modules: {{scorer: {{image: '{image}'}}}}\n"
    )
    world.services.rollouts.apply("shop", text, ADMIN)
    return {"rollout": "line"}


CHANGES: dict[str, Change] = {
    f"POST {API}/users": Change("user.create", {"name": "ana"}),
    f"PATCH {API}/users/{{user}}": Change("user.change", {"disabled": True}, before=_user),
    f"POST {API}/users/{{user}}/invitation": Change("user.invite", before=_user),
    f"POST {API}/session/invitation": Change("user.accept", {"password": PASSWORD}, before=_invited),
    f"POST {API}/session": Change(
        "session.create", {"user": "ana", "password": PASSWORD}, before=_with_password
    ),
    f"DELETE {API}/session": Change("token.revoke"),
    f"POST {API}/me/tokens": Change("token.create"),
    f"DELETE {API}/me/tokens/{{token}}": Change("token.revoke", before=_own_token),
    f"POST {API}/workspaces": Change("workspace.create", {"name": "third"}),
    in_workspace("PUT /members/{member}"): Change(
        "member.share", {"role": "Reader"}, {"member": "ana"}, before=_user
    ),
    in_workspace("DELETE /members/{member}"): Change("member.unshare", before=_member),
    in_workspace("POST /services"): Change("service.create", {"name": "ci", "role": "Reader"}),
    in_workspace("DELETE /services/{service}"): Change("service.delete", before=_service),
    in_workspace("POST /services/{service}/tokens"): Change("token.create", before=_service),
    in_workspace("DELETE /services/{service}/tokens/{token}"): Change("token.revoke", before=_service_token),
    in_workspace("PUT /secrets/{secret}"): Change("secret.set", {"value": "x"}, {"secret": "key"}),
    in_workspace("DELETE /secrets/{secret}"): Change("secret.delete", before=_secret),
    in_workspace("POST /datastores"): Change("datastore.attach", {"name": "second"}),
    in_workspace("POST /datastores/{datastore}/default"): Change("datastore.make-default", before=_attached),
    in_workspace("DELETE /datastores/{datastore}"): Change("datastore.detach", before=_attached),
    in_workspace("PUT /telemetry/store"): Change("telemetry.set-store", {"datastore": "default"}),
    in_workspace("PUT /image-store"): Change("workspace.set-image-store", {"url": "hub:"}),
    in_workspace("POST /models"): Change("model.register", {"name": "digits"}, before=_uploaded),
    in_workspace("PATCH /models/{model}"): Change("model.change", {"tags": {"a": "1"}}, before=_model),
    in_workspace("DELETE /models/{model}"): Change("model.delete", before=_model),
    in_workspace("POST /images/builds"): Change(
        "image.build", {"name": "digits", "model": "digits:1"}, before=_model
    ),
    in_workspace("POST /images"): Change(
        "image.register", {"name": "digits", "reference": "edge"}, before=_pushed
    ),
    in_workspace("PATCH /images/{image}"): Change("image.change", {"tags": {"a": "1"}}, before=_image),
    in_workspace("DELETE /images/{image}"): Change("image.delete", before=_image),
    in_workspace("POST /webhooks"): Change("webhook.create", {"url": "https://192.0.32.10/hook"}),
    in_workspace("DELETE /webhooks/{webhook}"): Change("webhook.delete", before=_webhook),
    in_workspace("POST /activities/{activity}/cancel"): Change("activity.cancel", before=_waiting),
    in_workspace("POST /devices"): Change("device.invite", {"device": "cam-9"}),
    in_workspace("POST /devices/{device}/revocation"): Change("device.revoke", before=_device),
    in_workspace("POST /device-keys"): Change(
        "device.register", {"device": "cam-9", "key_sha256": "ab" * 32}
    ),
    in_workspace("POST /device-claims"): Change("claim.create", {"name": "line"}),
    in_workspace("POST /device-claims/{claim}/revocation"): Change("claim.revoke", before=_claim),
    in_workspace("POST /pending-devices/{device}/acceptance"): Change("device.accept", before=_pending),
    in_workspace("POST /pending-devices/{device}/rejection"): Change("device.reject", before=_pending),
    in_workspace("PATCH /devices/{device}"): Change("device.tag", {"tags": {"site": "x"}}, before=_device),
    in_workspace("POST /rollouts/{rollout}/pause"): Change("rollout.pause", before=_running),
    in_workspace("POST /rollouts/{rollout}/resume"): Change("rollout.resume", before=_paused),
    in_workspace("POST /rollouts/{rollout}/abort"): Change("rollout.abort", before=_running),
    in_workspace("POST /rollouts/{rollout}/approval"): Change("rollout.approve", before=_awaiting),
}


def send(world: World, route: str, change: Change, **path: str) -> Any:
    method, _, template = route.partition(" ")
    names = {"workspace": "shop"} | change.path | path
    address = template.format(**names)
    answer = world.client.request(method, address, json=change.body, headers=bearer(world.admin_token))
    assert answer.is_success, f"{route}: {answer.text}"
    return answer


def entries(world: World) -> list[tuple[str, str, str]]:
    """Return (workspace, action, request id) of everything in every chain."""
    found = []
    for chain in ("", "shop", "lab", "third"):
        found += [
            (chain, row.action, row.request_id) for row in world.services.audit.page(chain, Filters(), 1000)
        ]
    return found


@pytest.mark.parametrize("route", CHANGES)
def test_a_change_is_one_entry(world: World, route: str) -> None:
    change = CHANGES[route]
    prepared = change.before(world)
    body = change.body | {name: prepared[name] for name in IN_BODY.get(route, ()) if name in prepared}
    before = entries(world)
    answer = send(world, route, Change(change.action, body, change.path), **prepared)
    added = [entry for entry in entries(world) if entry not in before]
    assert [(action, request) for _, action, request in added] == [
        (change.action, answer.headers["X-Request-Id"])
    ]
    expected_chain = "third" if route == f"POST {API}/workspaces" else "shop" if WORKSPACE in route else ""
    assert added[0][0] == expected_chain
    assert all(world.services.audit.verify(chain) == [] for chain in ("", "shop", "third"))


def test_every_route_that_changes_something_is_tried_here_or_said_to_leave_no_entry() -> None:
    changing = {route for route in POLICY if route.partition(" ")[0] not in {"GET", "HEAD"}}
    assert changing == CHANGES.keys() | NOT_AUDITED.keys() | ELSEWHERE
    assert not CHANGES.keys() & NOT_AUDITED.keys()


IN_BODY = {f"POST {API}/session/invitation": ("token",), in_workspace("POST /models"): ("digest",)}
"""What of the preparation goes into the body, and not into the path."""

ELSEWHERE = {
    f"PUT {API}/me/password",  # below: a session of one's own is needed
    "POST /.well-known/est/simpleenroll",  # tests/hub/test_devices.py and test_claims.py
    "POST /.well-known/est/simplereenroll",  # tests/hub/test_renewal.py
    in_workspace("POST /rollouts"),  # tests/e2e
    in_workspace("POST /device-invitations"),  # tests/hub/test_device_lists.py: one for each device
    "PUT /v2/{workspace}/{image}/manifests/{reference}",  # tests/registry/test_access.py, as the next two
    "DELETE /v2/{workspace}/{image}/manifests/{reference}",
    "DELETE /v2/{workspace}/{image}/blobs/{digest}",
}


def test_what_fails_leaves_no_entry(world: World) -> None:
    before = entries(world)
    for body in ({"name": "Not A Name"}, {}, {"name": "admin"}):
        answer = world.client.post(f"{API}/users", json=body, headers=bearer(world.admin_token))
        assert answer.status_code in {409, 422}
    world.client.post(f"{API}/users", json={"name": "ana"})
    assert entries(world) == before


NAMES = {"workspace": "shop", "datastore": "default"}


def test_reading_leaves_no_entry(world: World) -> None:
    before = entries(world)
    for route in world.app.routes:
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            path = re.sub(r"\{(\w+)[^}]*\}", lambda name: NAMES.get(name[1], "thing"), route.path)
            world.client.get(path, headers=bearer(world.admin_token))
    assert entries(world) == before


def test_changing_the_password_is_one_entry(world: World) -> None:
    token = send(
        world, f"POST {API}/session/invitation", Change("", {**_invited(world), "password": PASSWORD})
    ).json()["token"]
    before = entries(world)
    body = {"old": PASSWORD, "new": PASSWORD + "!"}
    assert world.client.put(f"{API}/me/password", json=body, headers=bearer(token)).is_success
    added = [entry for entry in entries(world) if entry not in before]
    assert [action for _, action, _ in added] == ["user.change-password"]


@pytest.mark.parametrize("path", ["/audit/verify", "/workspaces/shop/audit/verify", "/audit"])
def test_a_sequence_that_no_database_takes_is_refused(world: World, path: str) -> None:
    """Found by calling each operation four hundred times with made-up values."""
    query: dict[str, int | str] = {"sequence": 2**63, "mac": "0" * 64, "before_seq": 2**63}
    answer = world.client.get(API + path, params=query, headers=bearer(world.admin_token))
    assert answer.status_code == 422
