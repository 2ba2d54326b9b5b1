"""A device that was stolen is revoked: its connection ends, it is let in nowhere, and no other notices."""

import time
from pathlib import Path

import httpx
import pytest

from agent.identity import store
from contract.enrolment import CERTIFICATE_PATH
from simulators.demo.stage import Device, StageError
from tests.e2e.conftest import World
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.parametrize("driver", ["process"])
IN, OUT = "connected to the hub", "disconnected from the hub"


def status(identity: store.Identity) -> int:
    """What does the hub answer to who shows that identity?"""
    with httpx.Client(base_url=identity.facts.hub, verify=identity.tls_context()) as client:
        return client.get(CERTIFICATE_PATH).status_code


def invite(world: World, device: Device, name: str) -> Path:
    """Write an invitation that replaces."""
    file = world.folder / name
    world.stage.headland("device", "invite", device.name, "--file", str(file), "--replace")
    return file


def test_a_revoked_device_is_out_at_once_and_comes_back_only_by_a_new_invitation(
    world: World, device: Device
) -> None:
    other = world.stage.enrol_device("revoked-not", "process")
    before, open_one = store.load(device.state_dir / "identity"), invite(world, device, "open.json")
    assert status(before) == 200
    begun = time.monotonic()
    shown = world.stage.headland("device", "revoke", device.name)
    wait_until(lambda: OUT in device.daemon.log, "its connection is closed")
    print(f"out after {time.monotonic() - begun:.2f} s")
    assert shown["state"] == "revoked"
    device.daemon.wait_for("the broker refused the connection for now")
    assert status(before) == 401
    assert OUT not in other.daemon.log
    assert status(store.load(other.state_dir / "identity")) == 200
    device.daemon.stop()
    (device.state_dir / "identity").rename(device.state_dir / "identity-before")
    with pytest.raises(StageError, match="token-used"):
        device.agent("enroll", "--invitation", str(open_one))
    device.agent("enroll", "--invitation", str(invite(world, device, "new.json")))
    device.daemon.start(IN)
    before = store.load(device.state_dir / "identity-before")
    assert status(before) == 401, "the old identity stays out"
