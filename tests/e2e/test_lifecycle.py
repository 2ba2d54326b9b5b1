"""Modules that say how they live, on real parts: liveness, updates that stop first, changes that wait."""

import fcntl
import json
import os
import signal
import time
from pathlib import Path

from agent.endpoints.unix_client import UnixHttpConnection
from simulators.demo.stage import Device
from simulators.sensors.digits import DigitsSensor
from tests.e2e.conftest import RollOut, World, above_drivers, manifest, scoring_processes
from tests.e2e.waiting import wait_until

NEVER = "{windows: [{cron: '0 0 29 2 *', durationSeconds: 60}]}"


def state_of(world: World, device: Device) -> tuple[str, str, str]:
    """Return state, image and reason of the one module, as the hub knows them."""
    (module,) = (world.workspace.device(device.name).reported or {})["modules"]
    return module["state"], module["image"], module["reason"]


def run_folder(device: Device) -> Path:
    (container,) = device.agent("status")["containers"]
    return device.state_dir / "containers" / str(container["id"]) / "run"


def defer(device: Device, seconds: float) -> float:
    """Ask as the module would; return what is granted."""
    connection = UnixHttpConnection(run_folder(device) / "agent.sock")
    connection.request("POST", "/v1/defer", json.dumps({"seconds": seconds}))
    granted: float = json.loads(connection.getresponse().read())["seconds"]
    connection.close()
    return granted


def ended(world: World, device: Device) -> tuple[str, str]:
    """Return state and reason of the one module, or nothing where none is reported."""
    modules = (world.workspace.device(device.name).reported or {}).get("modules", ())
    return (modules[0]["state"], modules[0]["reason"]) if modules else ("", "")


def containers(device: Device) -> list[dict[str, object]]:
    found: list[dict[str, object]] = device.agent("status")["containers"]
    return found


def test_a_job_that_ends_well_has_passed_and_one_that_does_not_has_failed(
    world: World, device: Device
) -> None:
    for code, state, reason in (
        (0, "exited", ""),
        (3, "failed", "stopped before it was ready"),
    ):
        image = manifest(
            device.name, "job:1", lifecycle="{restart: on-failure}", env=f"{{CODE: '{code}', RUN: '{code}'}}"
        )
        world.workspace.apply_rollout(image)
        wait_until(lambda end=(state, reason): ended(world, device) == end, f"it ends with {code}")  # type: ignore[misc]
        assert containers(device) == []


def test_a_job_that_ends_while_no_agent_lives_is_not_begun_again(world: World, device: Device) -> None:
    world.workspace.apply_rollout(
        manifest(device.name, "job:1", lifecycle="{restart: on-failure}", env="{CODE: '0', WORK_S: '4'}")
    )
    device.daemon.wait_for("started job:1")
    device.daemon.kill()
    wait_until(lambda: scoring_processes(device) == [], "it has ended")
    device.daemon.start("connected to the hub")
    wait_until(lambda: state_of(world, device)[0] == "exited", "its end is known")
    assert "started job:1" not in device.daemon.log


def test_what_does_not_live_is_replaced_and_what_lives_is_left(
    world: World, device: Device, roll_out: RollOut
) -> None:
    http = "{http: /v2/health/live, periodSeconds: 1, timeoutSeconds: 20, failures: 1}"
    roll_out("digits:1", lifecycle=f"{{liveness: {http}}}")
    before = scoring_processes(device)
    time.sleep(3)
    assert scoring_processes(device) == before
    # The same, but it never writes the file: how it lives changes without another container.
    roll_out("digits:1", lifecycle="{liveness: {file: alive, periodSeconds: 10, failures: 2}}")
    assert scoring_processes(device) == before
    device.daemon.wait_for("does not live")
    wait_until(lambda: not set(before) & set(scoring_processes(device)), "the old one is gone")
    wait_until(lambda: bool(scoring_processes(device)), "a new one runs")


def test_programs_in_the_container_say_that_it_is_ready_and_lives(
    world: World, device: Device, roll_out: RollOut
) -> None:
    """By the container's own Python, in its own folders: /tmp/well is there, then it is not."""
    ask = "[/opt/python/bin/python3, '-c', 'import os, sys; sys.exit(not os.path.exists(\"/tmp/{}\"))']"
    shared = "os.path.dirname(os.environ['HEADLAND_AGENT_SOCKET'])"
    tell = f"import os; open('/tmp/well', 'w').close(); open({shared} + '/mine', 'w').close()"
    begin = f"[/opt/python/bin/python3, '-c', \"{tell}\"]"
    roll_out("digits:1", lifecycle=f"{{readiness: {{exec: {begin}, periodSeconds: 1, timeoutSeconds: 20}}}}")
    assert (run_folder(device) / "mine").exists(), "its user may not write into its run folder"
    before = scoring_processes(device)
    lives = "{{liveness: {{exec: {}, periodSeconds: 1, failures: 2, timeoutSeconds: 20}}}}"
    roll_out("digits:1", lifecycle=lives.format(ask.format("well")))
    time.sleep(4)
    assert scoring_processes(device) == before
    roll_out("digits:1", lifecycle=lives.format(ask.format("ill")))
    device.daemon.wait_for("does not live")
    wait_until(lambda: not set(before) & set(scoring_processes(device)), "the old one is gone")


@above_drivers
def test_a_container_that_hangs_is_replaced(world: World, device: Device, roll_out: RollOut) -> None:
    roll_out(
        "digits:1", stopGraceSeconds="1", lifecycle="{liveness: {http: /v2/health/live, periodSeconds: 1}}"
    )
    (pid,) = scoring_processes(device)
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: set(scoring_processes(device)) - {pid} != set(), "a new one runs")


@above_drivers
def test_an_update_that_stops_first_lets_requests_wait_and_refuses_none(
    world: World, device: Device, roll_out: RollOut
) -> None:
    roll_out("digits:1")
    old = set(scoring_processes(device))
    sensor = DigitsSensor(device.name, device.endpoint(), "digits", world.digits.held_out_images, 50.0)
    sensor.start()
    try:
        roll_out("digits:2", lifecycle="{update: stop-first}")
        log = device.daemon.log
        assert not old & set(scoring_processes(device))
    finally:
        tally = sensor.stop()
    assert tally.refused == []
    assert log.index("pulling digits:2") < log.index("started digits:2")


@above_drivers
def test_a_change_waits_for_its_window_and_what_runs_serves(
    world: World, device: Device, roll_out: RollOut
) -> None:
    roll_out("digits:1")
    before = scoring_processes(device)
    world.workspace.apply_rollout(manifest(device.name, "digits:2", lifecycle=NEVER))
    waiting = ("waiting", "digits:2", "waits for its maintenance window")
    wait_until(lambda: state_of(world, device) == waiting, "it waits")
    device.daemon.wait_for("pulling digits:2")
    time.sleep(1)
    assert scoring_processes(device) == before
    roll_out("digits:2")
    assert not set(before) & set(scoring_processes(device))


@above_drivers
def test_a_module_puts_its_change_off(world: World, device: Device, roll_out: RollOut) -> None:
    roll_out("digits:1")
    before = scoring_processes(device)
    with (run_folder(device) / "update.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        world.workspace.apply_rollout(
            manifest(device.name, "digits:2", lifecycle="{longestDeferralSeconds: 600}")
        )
        waiting = ("waiting", "digits:2", "put off by the module")
        wait_until(lambda: state_of(world, device) == waiting, "it waits")
        assert 500 < defer(device, 1000) <= 600
    time.sleep(1)
    assert scoring_processes(device) == before, "by the word it gave, without the lock"
    defer(device, 0)
    wait_until(lambda: state_of(world, device)[:2] == ("running", "digits:2"), "it changes")


@above_drivers
def test_a_module_starts_behind_those_that_it_depends_on(world: World, device: Device) -> None:
    """The first cannot be ready: the second waits and says for what."""
    text = manifest(device.name, "silent:1") + (
        "    second:\n      image: digits:1\n      lifecycle: {dependsOn: [scorer]}\n"
    )
    world.workspace.apply_rollout(text)

    def second() -> tuple[str, str]:
        modules = {
            m["name"]: m for m in (world.workspace.device(device.name).reported or {"modules": ()})["modules"]
        }
        return (modules["second"]["state"], modules["second"]["reason"]) if modules else ("", "")

    wait_until(lambda: second() == ("waiting", "for scorer"), "the second waits")
    assert scoring_processes(device) == [] or second()[0] == "waiting"
    world.workspace.apply_rollout(text.replace("silent:1", "digits:2"))
    wait_until(lambda: second() == ("running", ""), "the second runs")
    log = device.daemon.log
    assert log.index("started digits:2") < log.index("started digits:1")
