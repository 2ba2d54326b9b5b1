"""The planner and what is not allowed any more, or cannot be had beside what runs."""

import msgspec
import pytest

from agent.reconcile.report import module_reports
from agent.reconcile.state import Context, Drain, Remove, Start, spec_digest
from contract.access import Access
from contract.lifecycle import Lifecycle, Update
from tests.agent.test_planner import FRESH, IDLE, ON_V1, V1, V2, desire, next_steps, observed, seen

NO_V1 = Context(forbidden={spec_digest(V1): "it asks for too much"})
NO_V2 = Context(forbidden={spec_digest(V2): "it asks for too much"})


def test_what_is_asked_of_the_device_needs_another_container() -> None:
    asking = msgspec.structs.replace(V1, access=Access(host_network=True))
    assert spec_digest(asking) != spec_digest(V1)


def test_what_is_not_allowed_any_more_is_not_started_and_says_why() -> None:
    assert next_steps(desire(V1), observed(), FRESH) == (Start(V1),)
    assert next_steps(desire(V1), observed(), FRESH, NO_V1) == ()
    (line,) = module_reports(desire(V1), observed(), FRESH, NO_V1)
    assert (line.state, line.reason) == ("waiting", "not started: it asks for too much")


def test_what_runs_runs_on_and_says_what_would_be() -> None:
    state = observed(seen(V1, "ready"))
    assert next_steps(desire(V1), state, ON_V1, NO_V1) == next_steps(desire(V1), state, ON_V1) == ()
    (line,) = module_reports(desire(V1), state, ON_V1, NO_V1)
    assert (line.state, line.reason) == ("running", "not to be started again: it asks for too much")


@pytest.mark.parametrize("update", ["hand-over", "stop-first", "delete-first"])
def test_the_old_version_is_not_stopped_for_one_that_may_not_start(update: Update) -> None:
    target = msgspec.structs.replace(V2, lifecycle=Lifecycle(update=update))
    assert next_steps(desire(target), observed(seen(V1, "ready")), ON_V1, NO_V2) == ()
    crashed = observed(seen(V1, "exited"))
    assert next_steps(desire(target), crashed, ON_V1, NO_V2)[0] == Remove(
        crashed.containers[0].id, crashed=True
    )
    assert next_steps(desire(target), observed(), ON_V1, NO_V2) == (Start(V1),)


def test_a_module_whose_port_cannot_be_had_beside_its_container_stops_first() -> None:
    state = observed(old := seen(V1, "ready"))
    assert next_steps(desire(V2), state, ON_V1, IDLE) == (Start(V2),)
    alone = Context(alone=frozenset({"digits"}))
    assert next_steps(desire(V2), state, ON_V1, alone) == (Drain(old.id),)
    assert next_steps(desire(V2), observed(seen(V1, "draining")), ON_V1, alone) == ()
    assert next_steps(desire(V2), observed(), ON_V1, alone) == (Start(V2),)
