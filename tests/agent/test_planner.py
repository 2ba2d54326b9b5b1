"""The planner: each rule on its own, and what must hold in any state."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.reconcile.planner import plan
from agent.reconcile.report import converged, module_reports
from agent.reconcile.state import (
    Commit,
    ContainerSeen,
    Context,
    Drain,
    Fail,
    Failure,
    Forget,
    Kill,
    Memory,
    Observed,
    Phase,
    Publish,
    Pull,
    Remove,
    Start,
    Step,
    spec_digest,
)
from contract.desired import Desired, ImageRef, Module

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def module(version: int, name: str = "digits") -> Module:
    digest = "sha256:" + f"{version:x}" * 64
    return Module(
        name=name, image=ImageRef(repository="shop/x", digest=digest, name=f"{name}:{version}"),
        ready_timeout_s=30.0, stop_grace_s=10.0,
    )  # fmt: skip


V1, V2 = module(1), module(2)


def desire(*modules: Module, generation: int = 2) -> Desired:
    return Desired(
        device="d", workspace="w", generation=generation, issued_at=NOW, not_after=NOW, rollout="r:1",
        modules=modules,
    )  # fmt: skip


def seen(
    version: Module, phase: Phase, *, name: str = "c", age_s: float = 1.0, draining_s: float = 0.0
) -> ContainerSeen:
    return ContainerSeen(f"{name}-{version.image.name}", version, phase, age_s, draining_s)


def observed(*containers: ContainerSeen, staged: tuple[Module, ...] = (V1, V2)) -> Observed:
    return Observed(containers, frozenset(m.image.digest for m in staged))


FRESH = Memory()
ON_V1 = Memory(committed={"digits": V1})
IDLE = Context()


def next_steps(
    desired: Desired | None, state: Observed, memory: Memory = ON_V1, context: Context = IDLE
) -> tuple[Step, ...]:
    return plan(desired, state, memory, context)


def test_nothing_is_desired_and_nothing_is_touched() -> None:
    assert next_steps(None, observed(seen(V1, "ready"))) == ()


def test_an_image_is_pulled_before_anything_starts() -> None:
    assert next_steps(desire(V1), observed(staged=()), FRESH) == (Pull(V1),)


def test_a_pull_in_flight_is_waited_for() -> None:
    context = Context(pulling=frozenset({V1.image.digest}))
    assert next_steps(desire(V1), observed(staged=()), FRESH, context) == ()


def test_a_pulled_image_is_started() -> None:
    assert next_steps(desire(V1), observed(), FRESH) == (Start(V1),)


def test_while_the_next_image_is_pulled_the_running_one_is_left_alone() -> None:
    assert next_steps(desire(V2), observed(seen(V1, "ready"), staged=(V1,))) == (Pull(V2),)


def test_a_crash_of_the_running_version_is_mended_while_the_next_is_pulled() -> None:
    context = Context(pulling=frozenset({V2.image.digest}))
    assert next_steps(desire(V2), observed(staged=(V1,)), context=context) == (Start(V1),)


def test_the_new_version_starts_beside_the_old() -> None:
    assert next_steps(desire(V2), observed(seen(V1, "ready"))) == (Start(V2),)


def test_the_old_version_stays_until_the_new_one_is_ready() -> None:
    assert next_steps(desire(V2), observed(seen(V1, "ready"), seen(V2, "starting"))) == ()


def test_when_the_new_version_is_ready_it_is_committed_and_the_old_one_drained() -> None:
    old, new = seen(V1, "ready"), seen(V2, "ready")
    assert next_steps(desire(V2), observed(old, new)) == (Commit(V2), Drain(old.id))


def test_clients_are_led_to_the_new_version_before_the_old_one_is_drained() -> None:
    old, new = seen(V1, "ready"), replace(seen(V2, "ready"), published=False)
    assert next_steps(desire(V2), observed(old, new)) == (Publish(new.id), Commit(V2), Drain(old.id))


def test_a_kill_after_the_commit_does_not_leave_clients_at_the_old_socket() -> None:
    old, new = seen(V1, "ready"), replace(seen(V2, "ready"), published=False)
    memory = Memory(committed={"digits": V2})
    assert next_steps(desire(V2), observed(old, new), memory) == (Publish(new.id), Drain(old.id))


def test_of_two_of_one_version_the_one_that_clients_reach_stays() -> None:
    hidden, reached = replace(seen(V1, "ready", name="a"), published=False), seen(V1, "ready", name="b")
    assert next_steps(desire(V1), observed(hidden, reached)) == (Drain(hidden.id),)


def test_a_version_on_trial_is_not_published_before_it_is_ready() -> None:
    trial = replace(seen(V2, "starting"), published=False)
    assert next_steps(desire(V2), observed(seen(V1, "ready"), trial)) == ()


def test_a_draining_container_is_killed_only_after_its_grace() -> None:
    new = seen(V2, "ready")
    memory = Memory(committed={"digits": V2})
    assert next_steps(desire(V2), observed(seen(V1, "draining", draining_s=9), new), memory) == ()
    late = seen(V1, "draining", draining_s=11)
    assert next_steps(desire(V2), observed(late, new), memory) == (Kill(late.id),)


def test_a_container_that_ended_is_removed() -> None:
    gone = seen(V1, "lost")
    memory = Memory(committed={"digits": V2})
    assert next_steps(desire(V2), observed(gone, seen(V2, "ready")), memory) == (
        Remove(gone.id, crashed=False),
    )


def test_a_new_version_that_is_not_ready_in_time_fails_and_the_old_one_stays() -> None:
    late = seen(V2, "starting", age_s=31)
    assert next_steps(desire(V2), observed(seen(V1, "ready"), late)) == (
        Fail("digits", Failure(2, "not ready within 30 s")),
        Drain(late.id),
    )


def test_a_new_version_that_ends_before_it_is_ready_fails() -> None:
    dead = seen(V2, "exited")
    assert next_steps(desire(V2), observed(seen(V1, "ready"), dead)) == (
        Remove(dead.id, crashed=True),
        Fail("digits", Failure(2, "stopped before it was ready")),
    )


def test_a_start_that_was_cut_off_by_a_crash_of_the_agent_is_no_failure_of_the_version() -> None:
    lost = seen(V2, "lost")
    steps = next_steps(desire(V2), observed(seen(V1, "ready"), lost))
    assert steps == (Remove(lost.id, crashed=False),)


def test_a_failed_version_is_not_tried_again_in_its_generation() -> None:
    memory = replace(ON_V1, failed={"digits": Failure(2, "x")})
    assert next_steps(desire(V2), observed(seen(V1, "ready")), memory) == ()
    assert next_steps(desire(V2), observed(), memory) == (Start(V1),)


def test_a_failed_version_is_tried_again_in_the_next_generation() -> None:
    memory = replace(ON_V1, failed={"digits": Failure(2, "x")})
    assert next_steps(desire(V2, generation=3), observed(seen(V1, "ready")), memory) == (Start(V2),)


def test_a_first_version_that_failed_leaves_nothing_running() -> None:
    memory = Memory(failed={"digits": Failure(2, "x")})
    tried = seen(V2, "starting")
    assert next_steps(desire(V2), observed(tried), memory) == (Drain(tried.id),)
    assert next_steps(desire(V2), observed(), memory) == ()


def test_a_committed_version_that_crashed_is_removed_then_started_again_after_its_wait() -> None:
    dead = seen(V1, "exited")
    assert next_steps(desire(V1), observed(dead)) == (Remove(dead.id, crashed=True),)
    waiting = Context(backing_off=frozenset({spec_digest(V1)}))
    assert next_steps(desire(V1), observed(), context=waiting) == ()
    assert next_steps(desire(V1), observed()) == (Start(V1),)


def test_a_committed_version_that_hangs_at_a_restart_is_replaced_but_has_not_failed() -> None:
    late = seen(V1, "starting", age_s=31)
    assert next_steps(desire(V1), observed(late)) == (Drain(late.id),)


def test_two_containers_of_one_version_become_one() -> None:
    first, second = seen(V1, "ready", name="a"), seen(V1, "ready", name="b")
    assert next_steps(desire(V1), observed(first, second)) == (Drain(second.id),)


def test_a_module_that_is_no_longer_desired_is_drained_then_forgotten() -> None:
    running = seen(V1, "ready")
    assert next_steps(desire(), observed(running)) == (Drain(running.id), Forget("digits"))
    # Forgotten at once: wanted again in another version, it does not begin with the one that was taken away.
    leaving = observed(seen(V1, "draining"), staged=(V1,))
    assert next_steps(desire(V2), leaving, Memory()) == (Pull(V2),)
    assert next_steps(desire(V2), leaving, Memory({"digits": V1})) == (Pull(V2), Start(V1))
    assert next_steps(desire(), observed()) == (Forget("digits"),)
    assert next_steps(desire(), observed(), FRESH) == ()


def test_modules_do_not_wait_for_each_other() -> None:
    other = module(3, name="other")
    context = Context(pulling=frozenset({V2.image.digest}))
    state = observed(seen(V1, "ready"), staged=(V1, other))
    assert next_steps(desire(V2, other), state, context=context) == (Start(other),)


def test_a_change_of_limits_alone_is_a_new_version() -> None:
    bigger = msgspec.structs.replace(V1, env={"A": "1"})
    assert next_steps(desire(bigger), observed(seen(V1, "ready"))) == (Start(bigger),)


VERSIONS = st.sampled_from([V1, V2])
CONTAINERS = st.lists(
    st.builds(
        ContainerSeen,
        id=st.uuids().map(str),
        module=VERSIONS,
        phase=st.sampled_from(["starting", "ready", "draining", "exited", "lost"]),
        age_s=st.floats(0, 100),
        draining_s=st.floats(0, 100),
        published=st.booleans(),
    ),
    max_size=5,
).map(tuple)
MEMORIES = st.builds(
    Memory,
    committed=st.one_of(st.just({}), VERSIONS.map(lambda v: {"digits": v})),
    failed=st.one_of(st.just({}), st.integers(1, 3).map(lambda g: {"digits": Failure(g, "x")})),
)
STATES = st.builds(
    Observed, containers=CONTAINERS, staged=st.frozensets(VERSIONS.map(lambda v: v.image.digest))
)
CONTEXTS = st.builds(
    Context,
    pulling=st.frozensets(VERSIONS.map(lambda v: v.image.digest)),
    backing_off=st.frozensets(VERSIONS.map(spec_digest)),
)


@given(VERSIONS, STATES, MEMORIES, CONTEXTS)
def test_in_any_state_what_serves_is_never_stopped_before_its_successor_serves(
    target: Module, state: Observed, memory: Memory, context: Context
) -> None:
    steps = next_steps(desire(target), state, memory, context)
    serving = {c.id for c in state.containers if c.phase == "ready"}
    stopped = {step.container_id for step in steps if isinstance(step, (Drain, Kill, Remove))}
    failed = memory.failed.get("digits")
    has_version_to_run = failed is None or failed.generation != 2 or "digits" in memory.committed
    if serving and has_version_to_run and any(c.id in serving & stopped for c in state.containers):
        assert serving - stopped, "the last one that serves was stopped"


@given(VERSIONS, STATES, MEMORIES, CONTEXTS)
def test_in_any_state_nothing_starts_that_is_not_staged_and_only_one(
    target: Module, state: Observed, memory: Memory, context: Context
) -> None:
    steps = next_steps(desire(target), state, memory, context)
    starts = [step.module for step in steps if isinstance(step, Start)]
    assert len(starts) <= 1
    assert all(start.image.digest in state.staged for start in starts)


@given(VERSIONS, STATES, MEMORIES, CONTEXTS)
def test_in_any_state_a_report_says_converged_only_when_there_is_nothing_to_do(
    target: Module, state: Observed, memory: Memory, context: Context
) -> None:
    desired = desire(target)
    if converged(desired, state, module_reports(desired, state, memory, context)):
        stops = [s for s in next_steps(desired, state, memory, context) if not isinstance(s, Commit)]
        assert all(isinstance(step, Drain) for step in stops)


@pytest.mark.parametrize(
    ("state", "memory", "expected"),
    [
        (observed(staged=()), FRESH, ("starting", "")),
        (observed(seen(V2, "ready")), ON_V1, ("running", "")),
        (
            observed(seen(V1, "ready")),
            replace(ON_V1, failed={"digits": Failure(2, "why")}),
            ("rolled_back", "why"),
        ),
        (observed(), Memory(failed={"digits": Failure(2, "why")}), ("failed", "why")),
    ],
)
def test_reports_say_how_each_module_is(state: Observed, memory: Memory, expected: tuple[str, str]) -> None:
    (report,) = module_reports(desire(V2), state, memory, IDLE)
    assert (report.state, report.reason) == expected


def test_a_report_says_that_an_image_is_pulled() -> None:
    context = Context(pulling=frozenset({V2.image.digest}))
    (report,) = module_reports(desire(V2), observed(seen(V1, "ready")), ON_V1, context)
    assert report.state == "pulling"


def test_a_report_says_why_an_image_is_not_here_yet() -> None:
    context = Context(
        backing_off=frozenset({V2.image.digest}), pull_troubles={V2.image.digest: "no room [disk-too-small]"}
    )
    for state in (observed(seen(V1, "ready")), observed()):
        (report,) = module_reports(desire(V2), state, ON_V1, context)
        assert (report.state, report.reason) == ("pulling", "no room [disk-too-small]")
    (report,) = module_reports(desire(V2), observed(seen(V2, "ready")), ON_V1, context)
    assert (report.state, report.reason) == ("running", "")
