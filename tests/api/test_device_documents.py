"""A device's signed document as a file: the bytes that the hub sends, and a device that takes them."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.identity.enrol import enrol
from agent.policy.file import PolicyFile
from agent.reconcile.records import AgentRecords
from agent.trust.acceptance import Refused
from agent.trust.desk import Desk, open_floor
from cloud_hub.cli.app import app
from cloud_hub.sdk import Context, HubRefusedError, Workspace
from cloud_hub.sdk.context import save_context
from contract.desired import Desired
from tests.api.conftest import ADMIN, World
from tests.api.images import of_platforms, push, roll_out


def desk_of(world: World, name: str, folder: Path) -> Desk:
    """Enrol a device in the hub; return where it judges documents."""
    invitation = world.services.devices.invite("shop", name, timedelta(hours=1), ADMIN)
    # The test's hub stands at another port than its settings say.
    invitation = type(invitation)(
        hub=str(world.client.base_url).rstrip("/"),
        ca_sha256=invitation.ca_sha256,
        device=name,
        token=invitation.token,
    )
    records = AgentRecords(folder / "desired")
    identity = enrol(invitation, folder / "identity")
    floor = open_floor(folder / "desired", identity, records.load_desired())
    return Desk(identity.facts, records.load_desired, records.save_desired, floor, PolicyFile(None).refuses)


@pytest.fixture
def image(world: World, shop: Workspace) -> str:
    push(world.services, "shop/digits", of_platforms(b"layer")[0], tags=("a",))
    shop.register_image("digits", "a")
    return "digits:1"


def test_the_file_is_what_the_hub_sends_and_its_device_alone_takes_it(
    world: World, shop: Workspace, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = (desk_of(world, name, tmp_path / name) for name in ("cam-1", "cam-2"))
    with pytest.raises(HubRefusedError) as refused:
        shop.device_document("cam-1")
    assert refused.value.code == "not-found"
    roll_out(world.services, "line", image, "cam-1")
    roll_out(world.services, "line", image, "cam-1")
    document = shop.device_document("cam-1")
    assert document == world.services.rollouts.newer_than("cam-1", 0)
    verdict = mine.offer(document)
    assert isinstance(verdict, Desired)
    assert (verdict.generation, verdict.rollout) == (2, "line:2")
    refusal = other.offer(document)
    assert isinstance(refusal, Refused)
    assert refusal.code == "wrong-device"

    ca_pem = (world.core.certificate.parent / "ca.pem").read_text()
    monkeypatch.setenv("HEADLAND_CONTEXT", str(tmp_path / "context.json"))
    hub = str(world.client.base_url).rstrip("/")
    save_context(Context(hub=hub, ca_pem=ca_pem, token=world.admin_token, workspace="shop"))
    for words in (["device", "document", "cam-1"], ["device", "document", "cam-1", "-o", "json"]):
        printed = CliRunner().invoke(app, words)
        assert printed.exit_code == 0
        assert printed.stdout_bytes == document + b"\n"
        assert json.loads(printed.stdout_bytes)["signatures"]


def test_who_may_only_read_does_not_get_it(world: World, shop: Workspace, image: str) -> None:
    """It holds the modules' environment."""
    shop.invite_device("cam-1")
    roll_out(world.services, "line", image, "cam-1")
    assert shop.device_document("cam-1")
    with world.sdk(world.token("rita", {"shop": "Reader"})) as hub, pytest.raises(HubRefusedError) as refused:
        hub.workspace("shop").device_document("cam-1")
    assert refused.value.code == "forbidden"
    with world.sdk(world.token("lars", {"lab": "Owner"})) as hub, pytest.raises(HubRefusedError) as refused:
        hub.workspace("lab").device_document("cam-1")
    assert refused.value.code == "not-found"
