"""A simulated device says what an agent says: the planner and the reports are the agent's own."""

from simulators.fleet.behaviour import Behaviour
from tests.fleet.virtual import Rig


def test_it_says_hello_and_reports_nothing_desired() -> None:
    rig = Rig()
    rig.timers.run(1)
    (hello,) = rig.transport.hellos
    assert (hello.generation, hello.driver) == (0, "simulated")
    (report,) = rig.transport.reports
    assert (report.generation, report.converged, report.modules) == (0, False, ())


def test_it_pulls_starts_and_says_so_step_by_step() -> None:
    rig = Rig()
    rig.roll_out(1, "a:1", "b:1")
    rig.timers.run(20)
    said = [module.state for report in rig.transport.reports for module in report.modules[:1]]
    assert said.index("pulling") < len(said) - 1 - said[::-1].index("starting") < said.index("running")
    assert rig.states() == [("running", "a:1"), ("running", "b:1")]
    assert rig.transport.reports[-1].converged
    assert rig.journal.story().settled_at > rig.journal.story().first_report_at >= 0


def test_an_update_replaces_and_what_is_no_longer_desired_goes() -> None:
    rig = Rig()
    rig.roll_out(1, "a:1", "b:1")
    rig.timers.run(20)
    rig.roll_out(2, "a:2")
    rig.timers.run(20)
    assert rig.states() == [("running", "a:2")]
    assert rig.transport.reports[-1].converged


def test_a_version_that_is_never_ready_is_left_for_the_one_before() -> None:
    for bad in (Behaviour(never_ready=frozenset({"a:2"})), Behaviour(crashing=frozenset({"a:2"}))):
        rig = Rig(bad)
        rig.roll_out(1, "a:1")
        rig.timers.run(20)
        rig.roll_out(2, "a:2")
        rig.timers.run(20)
        assert rig.states() == [("rolled_back", "a:1")]
        assert rig.journal.failed_it
        assert not rig.transport.reports[-1].converged


def test_it_refuses_what_is_not_for_it_and_what_is_older() -> None:
    rig = Rig()
    rig.roll_out(2, "a:2", device="cam-2")
    rig.timers.run(1)
    refused = rig.transport.reports[-1].refused
    assert refused is not None
    assert refused.code == "wrong-device"
    rig.roll_out(2, "a:2")
    rig.timers.run(20)
    rig.roll_out(1, "a:1")
    rig.roll_out(2, "a:3")
    rig.timers.run(20)
    assert rig.states() == [("running", "a:2")]
    assert rig.journal.refused == {"wrong-device": 1, "old-generation": 1}


def test_it_reports_again_now_and_then() -> None:
    rig = Rig()
    rig.timers.run(601)
    assert len(rig.transport.reports) == 11
