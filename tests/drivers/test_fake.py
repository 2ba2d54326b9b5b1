"""The fake can be told to fail in each way that the agent must survive."""

import os
import signal
from pathlib import Path

import pytest

from agent.drivers.fake import Behaviour, FakeDriver, FakeMachine
from agent.drivers.port import DriverError
from tests.drivers.rig import Rig, status

fake = pytest.mark.parametrize("rig", ["fake"], indirect=True)


@fake
def test_it_refuses_exits_and_hangs_as_told(rig: Rig) -> None:
    told = {
        "refuses": Behaviour(refuses="no room"),
        "exits": Behaviour(exits_with=3),
        "hangs": Behaviour(ignores_term=True),
    }
    rig.machine.behaviour = lambda spec: told[spec.id]
    driver = rig.driver()
    with pytest.raises(DriverError, match="no room"):
        rig.start(rig.spec("serve", name="refuses"), driver)
    rig.start(rig.spec("serve", name="exits"), driver)
    rig.start(rig.spec("serve", name="hangs"), driver)
    driver.signal("hangs", signal.SIGTERM)
    exits, hangs = driver.observe()
    assert (exits.running, exits.exit_code) == (False, 3)
    assert hangs.running
    assert rig.machine.containers["hangs"].signals == [signal.SIGTERM]
    driver.signal("hangs", signal.SIGKILL)
    hung = status(driver, "hangs")
    assert hung is not None
    assert (hung.running, hung.exit_code) == (False, 137)


@fake
def test_it_holds_the_listener_until_it_ends(rig: Rig) -> None:
    rig.start(rig.spec("serve"))
    held = rig.machine.containers["one"].listeners["socket"]
    assert os.path.samestat(os.fstat(held), os.fstat(rig.listener.fileno()))
    rig.machine.exit("one", 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held)


def test_machines_know_nothing_of_each_other(tmp_path: Path) -> None:
    assert FakeDriver(FakeMachine()).observe() == ()
    assert list(tmp_path.iterdir()) == []
