"""A container that is out of memory: every driver says so, while it is half alive and when it has ended."""

import signal

import pytest

from agent.drivers import cgroups
from agent.drivers.port import ContainerStatus, Driver
from contract.desired import Limits
from tests.drivers.rig import Rig, exited, printed, status, until

MIB = 1024 * 1024
LIMIT = Limits(memory_bytes=64 * MIB)
RUNC = [pytest.param(name, marks=pytest.mark.system) for name in ("runc", "runc-userns")]
DOCKER = pytest.param("docker", marks=pytest.mark.system)
PODMAN = pytest.param("podman", marks=pytest.mark.system)
limited = pytest.mark.parametrize("rig", [*RUNC, DOCKER, PODMAN], indirect=True)
# Podman 4.3 does not say it of one whose first process was killed: its helper notes it elsewhere.
told_at_the_end = pytest.mark.parametrize("rig", [*RUNC, DOCKER], indirect=True)
in_part = pytest.mark.skipif(cgroups.is_unified(), reason="this kernel ends a container of runc as a whole")


def starved(driver: Driver) -> ContainerStatus:
    """Wait until the driver sees that its one container is out of memory."""

    def look() -> ContainerStatus | None:
        seen = status(driver, "one")
        return seen if seen is not None and seen.out_of_memory else None

    return until("it is out of memory", look)


@limited
def test_a_child_that_takes_too_much_is_seen_and_the_whole_can_be_ended(rig: Rig) -> None:
    driver = rig.start(rig.spec("breed", "600", limits=LIMIT))
    starved(driver)
    driver.signal("one", signal.SIGKILL)
    ended = exited(driver, "one")
    assert (ended.out_of_memory, ended.exit_code) == (True, 137)
    driver.remove("one")
    again = rig.spec("breed", "10", limits=LIMIT)
    rig.start(again, driver)
    printed(again, "its child ended with 9")
    seen = status(driver, "one")
    assert seen is not None
    assert (seen.running, seen.out_of_memory) == (True, False), "the next one begins anew"


@told_at_the_end
def test_it_is_known_of_an_ended_container_also_to_another_driver_and_until_its_removal(rig: Rig) -> None:
    driver = rig.start(rig.spec("eat", "600", limits=LIMIT))
    for other in (driver, rig.driver()):
        ended = exited(other, "one")
        assert (ended.out_of_memory, ended.exit_code) == (True, 137)
    driver.remove("one")
    assert driver.observe() == ()


@limited
@pytest.mark.parametrize("words", [("eat", "10"), ("breed", "10")])
def test_one_below_its_limit_is_not_said_to_be_out_of_memory_however_it_ends(
    rig: Rig, words: tuple[str, str]
) -> None:
    spec = rig.spec(*words, limits=LIMIT)
    driver = rig.start(spec)
    printed(spec, "ate 10")
    if words[0] == "breed":
        printed(spec, "its child ended with 9")  # killed, and not by want of memory
        seen = status(driver, "one")
        assert seen is not None
        assert (seen.running, seen.out_of_memory) == (True, False)
        driver.signal("one", signal.SIGKILL)
    assert not exited(driver, "one").out_of_memory


@in_part
@pytest.mark.parametrize("rig", RUNC, indirect=True)
def test_nobody_but_who_looks_ends_it_on_such_a_kernel(rig: Rig) -> None:
    """The control: the kernel kills the child alone, again and again for one that begins anew."""
    spec = rig.spec("breed", "600", limits=LIMIT)
    driver = rig.start(spec)
    printed(spec, "its child ended with 9")
    seen = starved(driver)
    assert seen.running
    seen = starved(rig.driver())
    assert seen.running, "a driver that did not start it sees it too"


@pytest.mark.parametrize("rig", ["process"], indirect=True)
def test_a_plain_process_has_no_such_limit(rig: Rig) -> None:
    driver = rig.start(rig.spec("eat", "600", limits=LIMIT))
    ended = exited(driver, "one")
    assert (ended.out_of_memory, ended.exit_code) == (False, 1)


@pytest.mark.parametrize("rig", ["fake"], indirect=True)
def test_the_fake_is_out_of_memory_when_told(rig: Rig) -> None:
    driver = rig.start(rig.spec("serve"))
    rig.machine.starve("one")
    assert starved(driver).running
    driver.signal("one", signal.SIGKILL)
    ended = exited(driver, "one")
    assert (ended.out_of_memory, ended.exit_code) == (True, 137)
    driver.remove("one")
    rig.start(rig.spec("serve"), driver)
    seen = status(driver, "one")
    assert seen is not None
    assert not seen.out_of_memory
