"""What of the vault a device reads: what its own newest document refers to, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from agent.identity import store
from agent.identity.enrol import enrol
from cloud_hub.access.limits import MOST
from cloud_hub.access.rows import AttemptRow
from cloud_hub.audit.service import Filters
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.errors import ManifestError
from cloud_hub.sdk import Workspace
from cloud_hub.secrets.text import SecretText
from contract.desired import Desired
from contract.dsse import Envelope, payload_of
from contract.encoding import decode
from contract.enrolment import Invitation
from contract.secrets import DEVICE_SECRETS_PATH, SecretRef
from tests.api.conftest import ADMIN, World, bearer
from tests.api.images import BY, of_platforms, push

VALUE = "canary-value-1"
Said = tuple[int, str]


def invite(world: World, name: str, *, workspace: str = "shop", replace: bool = False) -> Invitation:
    """Return an invitation to the test's hub, which stands at another port than its settings say."""
    made = world.services.devices.invite(workspace, name, timedelta(hours=1), ADMIN, replace=replace)
    where = str(world.client.base_url).rstrip("/")
    return Invitation(hub=where, ca_sha256=made.ca_sha256, device=name, token=made.token)


class Asking:
    """A device that asks by its certificate."""

    def __init__(self, world: World, identity: store.Identity) -> None:
        self._url = world.client.base_url
        self._tls = identity.tls_context()

    def answer(self, secret: str) -> httpx.Response:
        with httpx.Client(base_url=self._url, verify=self._tls) as client:
            return client.get(f"{DEVICE_SECRETS_PATH}/{secret}")

    def said(self, secret: str) -> Said:
        answer = self.answer(secret)
        return answer.status_code, answer.json().get("code", "")


@pytest.fixture
def device(world: World, tmp_path: Path) -> Callable[[str], Asking]:
    """Make a device of shop, or of the workspace before its name."""

    def make(name: str) -> Asking:
        workspace, _, name = name.rpartition("/")
        identity = enrol(invite(world, name, workspace=workspace or "shop"), tmp_path / name)
        return Asking(world, identity)

    return make


@pytest.fixture
def shop_with_secrets(world: World, shop: Workspace) -> World:
    """A hub whose workspaces have an image, and secrets of the same names."""
    for workspace in ("shop", "lab"):
        world.services.secrets.write(workspace, "db", SecretText(f"{VALUE} of {workspace}"), BY)
        world.services.secrets.write(workspace, "other", SecretText("not for devices"), BY)
    push(world.services, "shop/digits", of_platforms(b"layer")[0], tags=("a",))
    shop.register_image("digits", "a")
    return world


def roll_out(world: World, device: str, **secrets: str) -> Desired:
    """Give the device a module with secrets by file; return the document."""
    given = ", ".join(f"{file}: '{name}'" for file, name in secrets.items())
    text = (
        "apiVersion: headland/v1\nkind: Rollout\nmetadata:\n  name: line\nspec:\n"
        f"  target:\n    devices: [{device}]\n  modules:\n    scorer:\n      image: digits:1\n"
        f"      secrets: {{{given}}}\n"
    )
    world.services.rollouts.apply("shop", text, BY)
    envelope = world.services.rollouts.newer_than(device, 0)
    assert envelope is not None
    assert VALUE.encode() not in envelope
    return decode(payload_of(decode(envelope, Envelope, what="envelope")), Desired, what="document")


def test_a_device_reads_what_its_document_refers_to(
    shop_with_secrets: World, device: Callable[[str], Asking]
) -> None:
    world, cam = shop_with_secrets, device("cam-1")
    assert cam.said("db:1") == (404, "not-found"), "nothing was rolled out yet"
    (module,) = roll_out(world, "cam-1", password="db").modules
    assert module.given == (SecretRef(file="password", name="db", version=1),)
    answer = cam.answer("db:1")
    assert answer.json() == {"name": "db", "version": 1, "value": f"{VALUE} of shop"}
    assert answer.headers["Cache-Control"] == "no-store"
    (entry,) = world.services.audit.page("shop", Filters(action="secret.read"), 10)
    assert (entry.principal, entry.target) == ("device:cam-1", "db:1")


def test_a_device_reads_nothing_else(shop_with_secrets: World, device: Callable[[str], Asking]) -> None:
    world, cam, other, foreign = shop_with_secrets, device("cam-1"), device("cam-2"), device("lab/cam-3")
    world.services.secrets.write("shop", "db", SecretText("newer"), BY)
    roll_out(world, "cam-1", password="db:1")
    roll_out(world, "cam-2", password="other")
    assert cam.said("db:1") == (200, "")
    for who, secret in (
        (cam, "other:1"), (cam, "db:2"), (cam, "db"), (cam, "nothing:1"), (other, "db:1"),
        (foreign, "db:1"), (foreign, "other:1"),
    ):  # fmt: skip
        assert who.said(secret) == (404, "not-found"), secret
    assert cam.said("..%2Fdb:1")[0] in {404, 422}
    # What it was given before is not its own any more.
    roll_out(world, "cam-1", password="db")
    assert (cam.said("db:1"), cam.said("db:2")) == ((404, "not-found"), (200, ""))
    read = world.services.audit.page("shop", Filters(action="secret.read"), 10)
    assert sorted(entry.target for entry in read) == ["db:1", "db:2"]
    assert world.services.audit.page("lab", Filters(action="secret.read"), 10) == []


def test_only_the_certificate_in_force_opens_it(
    shop_with_secrets: World, device: Callable[[str], Asking], tmp_path: Path
) -> None:
    world, cam = shop_with_secrets, device("cam-1")
    roll_out(world, "cam-1", password="db")
    assert cam.said("db:1") == (200, "")
    again = Asking(world, enrol(invite(world, "cam-1", replace=True), tmp_path / "again"))
    assert cam.said("db:1") == (401, "unauthenticated"), "the old certificate"
    assert again.said("db:1") == (200, "")
    with world.core.database.transaction() as session:
        session.execute(update(DeviceRow).values(revoked_at=datetime.now(UTC)))
    assert again.said("db:1") == (401, "unauthenticated"), "revoked"
    # Nor does a person's token, whatever it may do elsewhere.
    for token in (world.admin_token, world.token("ana", {"shop": "Owner"})):
        answer = world.client.get(f"{DEVICE_SECRETS_PATH}/db:1", headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_what_was_destroyed_is_told_apart_from_what_is_not_given(
    shop_with_secrets: World, device: Callable[[str], Asking]
) -> None:
    world, cam = shop_with_secrets, device("cam-1")
    world.services.secrets.write("shop", "db", SecretText("newer"), BY)
    roll_out(world, "cam-1", password="db:1", second="db:2")
    world.services.secrets.destroy("shop", "db", 1, BY)
    assert (cam.said("db:1"), cam.said("db:2")) == ((410, "secret-destroyed"), (200, ""))
    world.services.secrets.destroy("shop", "db", None, BY)
    assert cam.said("db:2") == (410, "secret-destroyed")


def test_a_device_reads_so_often_and_no_more(
    shop_with_secrets: World, device: Callable[[str], Asking]
) -> None:
    world, cam, other = shop_with_secrets, device("cam-1"), device("cam-2")
    for name in ("cam-1", "cam-2"):
        roll_out(world, name, password="db")
    assert cam.said("db:1") == (200, "")
    with world.core.database.transaction() as session:
        session.execute(update(AttemptRow).values(failures=MOST["device-secret"]))
    refused = cam.answer("db:1")
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-attempts")
    assert int(refused.headers["Retry-After"]) > 0
    assert other.said("db:1") == (200, "")


def test_a_rollout_pins_versions_and_names_what_is_not_there(shop_with_secrets: World) -> None:
    world = shop_with_secrets
    world.services.devices.invite("shop", "cam-1", timedelta(hours=1), ADMIN)
    first = roll_out(world, "cam-1", b="other", a="db").modules[0]
    assert [(ref.file, ref.label) for ref in first.given] == [("a", "db:1"), ("b", "other:1")]
    world.services.secrets.write("shop", "db", SecretText("newer"), BY)
    assert roll_out(world, "cam-1", a="db").modules[0].given[0].version == 2
    assert roll_out(world, "cam-1", a="db:1").modules[0].given[0].version == 1
    world.services.secrets.destroy("shop", "db", 2, BY)
    for secret, reason in (
        ("nothing", "no such secret in this workspace"),
        ("db:9", "no such secret in this workspace"),
        ("db", "this version of the secret was destroyed"),
    ):
        with pytest.raises(ManifestError) as refused:
            roll_out(world, "cam-1", a=secret)
        (problem,) = refused.value.errors
        assert (problem.field, problem.reason, problem.line) == (
            "spec.modules.scorer.secrets.a", reason, 11,
        )  # fmt: skip
        assert "headland secret list" in refused.value.fix
    document = world.services.rollouts.newer_than("cam-1", 3)
    assert document is None, "nothing was rolled out by what was refused"
