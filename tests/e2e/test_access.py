"""What modules ask of a device, on real parts: ports, volumes, and the owner's word."""

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from agent.checks.policy import policy
from agent.settings import load
from simulators.demo.stage import Device, free_port
from simulators.sensors.digits import DigitsSensor
from tests.e2e.conftest import Owner, RollOut, World, manifest, scoring_processes
from tests.e2e.waiting import wait_until

QUICK = "reconcile_interval_s = 0.2\n"
one_driver = pytest.mark.parametrize("driver", ["process"], indirect=True)


def reported(world: World, device: Device) -> dict[str, Any]:
    return world.workspace.device(device.name).reported or {"modules": [], "refused": None}


def module(world: World, device: Device) -> tuple[str, str]:
    """Return state and reason of the one module, as the hub knows them."""
    found = reported(world, device)["modules"]
    return (found[0]["state"], found[0]["reason"]) if found else ("", "")


def test_a_port_and_a_volume_outlive_updates_and_the_agent_and_no_request_is_refused(
    world: World, device: Device, roll_out: RollOut
) -> None:
    port = free_port()
    access = f"{{ports: [{{name: http, port: {port}}}], volumes: [{{target: /data, name: history}}]}}"
    roll_out("digits:1", access=access)
    volume = device.state_dir / "volumes/scorer/history"
    (volume / "kept").write_text("x")
    sensor = DigitsSensor(device.name, ("127.0.0.1", port), "digits", world.digits.held_out_images, 100.0)
    sensor.start()
    try:
        wait_until(lambda: sensor.tally.answered > 20, "it answers")
        roll_out("digits:2", access=access)
        device.daemon.kill()
        device.daemon.start("connected to the hub")
        roll_out("digits:1", access=access)
    finally:
        tally = sensor.stop()
    assert tally.refused == []
    assert tally.answered == tally.sent > 50
    assert (volume / "kept").read_text() == "x"
    roll_out("digits:1")
    wait_until(lambda: refused(port), "a port that is asked for no more is closed")
    assert (volume / "kept").exists()


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


@one_driver
def test_a_port_in_use_is_said_and_taken_when_it_is_free(
    world: World, device: Device, roll_out: RollOut
) -> None:
    roll_out("digits:1")
    before = scoring_processes(device)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = manifest(device.name, "digits:2", access=f"{{ports: [{{name: http, port: {port}}}]}}")
        world.workspace.apply_rollout(text)
        wait_until(lambda: f"port {port} at 127.0.0.1" in module(world, device)[1], "it says so")
        assert scoring_processes(device) == before
    wait_until(lambda: module(world, device) == ("running", ""), "it runs")


@one_driver
def test_the_owner_has_the_last_word_and_what_runs_runs_on(
    world: World, owner: Owner, tmp_path: Path
) -> None:
    device = owner(QUICK, "")
    world.workspace.apply_rollout(manifest(device.name, "digits:1"))
    wait_until(lambda: module(world, device) == ("running", ""), "it runs")
    before = scoring_processes(device)
    world.workspace.apply_rollout(manifest(device.name, "digits:2", access="{hostNetwork: true}"))
    wait_until(lambda: reported(world, device)["refused"] is not None, "it is refused")
    refusal = reported(world, device)["refused"]
    assert refusal["code"] == "policy-host-network"
    assert "module scorer" in refusal["reason"]
    assert scoring_processes(device) == before

    owner(QUICK, "host_network = true")
    wait_until(lambda: scoring_processes(device) not in ([], before), "allowed, it is asked for again")
    wait_until(lambda: module(world, device) == ("running", ""), "it runs")

    owner(QUICK, "host_network = tru")
    wait_until(lambda: "policy-host-network" in module(world, device)[1], "it says what would not start")
    assert module(world, device)[0] == "running", "what runs, runs on"
    found = policy(load(tmp_path / "agent.toml", state_dir=device.state_dir))
    assert found.verdict == "failed"
    assert "policy.toml" in found.words
    assert "No new document" in found.fix or "no new document" in found.fix
    for pid in scoring_processes(device):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: module(world, device)[0] == "waiting", "it is not started again")
    assert "policy-host-network" in module(world, device)[1]
    assert scoring_processes(device) == []

    owner(QUICK, "host_network = true")
    wait_until(lambda: module(world, device) == ("running", ""), "allowed, it starts")
