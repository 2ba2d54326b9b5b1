"""Containers live on when the agent is killed, and a new agent finds them."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from agent.drivers.port import ContainerSpec
from tests.drivers.rig import Rig, exited, status, until

RUNC = [pytest.param(name, marks=pytest.mark.system) for name in ("runc", "runc-userns")]
ENGINES = [pytest.param(name, marks=pytest.mark.system) for name in ("docker", "podman")]
every_real = pytest.mark.parametrize("rig", ["process", *RUNC, *ENGINES], indirect=True)
by_signals = pytest.mark.parametrize("rig", ["process", *RUNC], indirect=True)
KILLS = 16


def start_agent(rig: Rig, spec: ContainerSpec) -> subprocess.Popen[str]:
    """Start another process that starts ``spec``; return it when it is about to."""
    pickled = rig.folder / "spec.pickle"
    pickled.write_bytes(pickle.dumps(spec))
    listener = rig.listener.fileno()
    starter = Path(__file__).with_name("starter.py")
    words = [sys.executable, str(starter), rig.kind, str(rig.state), str(pickled), str(listener)]
    env = os.environ | {"ENGINE": str(rig.engine)}
    agent = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, pass_fds=[listener], env=env)
    assert agent.stdout is not None
    assert agent.stdout.readline() == "starting\n"
    return agent


def kill(agent: subprocess.Popen[str]) -> None:
    agent.kill()
    agent.wait()
    assert agent.stdout is not None
    agent.stdout.close()


def relatives(rig: Rig) -> list[str]:
    """Return the command lines of all processes that have to do with this rig's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if process.pid != os.getpid() and any(str(rig.folder) in word for word in words):
            found.append(" ".join(words))
    return found


def time_a_start(rig: Rig) -> float:
    """Return how many seconds an undisturbed start takes; nothing of it is left."""
    agent = start_agent(rig, rig.spec("serve", name="timed"))
    begun = time.monotonic()
    assert agent.stdout is not None
    assert agent.stdout.readline() == "started\n"
    took = time.monotonic() - begun
    kill(agent)
    clear(rig)
    return took


def clear(rig: Rig) -> int:
    """As a new agent, kill and remove what there is; return how many of them ran."""
    driver = rig.driver()
    found = driver.observe()
    for seen in found:
        driver.signal(seen.id, signal.SIGKILL)
        exited(driver, seen.id)
        driver.remove(seen.id)
    assert driver.observe() == ()
    return sum(seen.running for seen in found)


@every_real
def test_it_serves_on_and_a_new_agent_stops_and_removes_it(rig: Rig) -> None:
    agent = start_agent(rig, rig.spec("serve"))
    assert agent.stdout is not None
    assert agent.stdout.readline() == "started\n"
    assert rig.ask()["env"]["HEADLAND_CONTAINER"] == "one"
    kill(agent)
    assert rig.ask()["env"]["HEADLAND_CONTAINER"] == "one"
    driver = rig.driver()
    seen = status(driver, "one")
    assert seen is not None
    assert seen.running
    driver.signal("one", signal.SIGTERM)
    assert exited(driver, "one").exit_code == 7
    driver.remove("one")
    assert driver.observe() == ()


@every_real
def test_an_exit_code_of_a_time_without_an_agent_is_known_to_the_next(rig: Rig) -> None:
    agent = start_agent(rig, rig.spec("serve"))
    assert agent.stdout is not None
    assert agent.stdout.readline() == "started\n"
    rig.ask()
    seen = status(rig.driver(), "one")
    assert seen is not None
    assert seen.pid is not None
    kill(agent)
    os.kill(seen.pid, signal.SIGTERM)
    assert exited(rig.driver(), "one").exit_code == 7


@by_signals
def test_killed_at_any_moment_of_a_start_nothing_stays_that_cannot_be_removed(rig: Rig) -> None:
    whole_start_s = time_a_start(rig)
    running = 0
    for number in range(KILLS):
        spec = rig.spec("serve", name=f"c{number}")
        agent = start_agent(rig, spec)
        time.sleep(2 * whole_start_s * number / KILLS)  # the moment is what is tested
        kill(agent)
        until("runc ends", lambda: not any("runc" in line for line in relatives(rig)))
        running += clear(rig)
        assert list(spec.home.iterdir()) == []
    assert 0 < running < KILLS  # the moments were neither all too early nor all too late
    assert str(rig.folder) not in Path("/proc/mounts").read_text()
    until("all its processes end", lambda: not relatives(rig))
