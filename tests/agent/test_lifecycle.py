"""The planner where modules say how they live: restarts, start order, updates, and changes that wait."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agent.reconcile.report import converged, module_reports
from agent.reconcile.state import (
    Commit,
    Condemn,
    Context,
    Drain,
    Fail,
    Failure,
    Finish,
    Forget,
    Memory,
    Pull,
    Remove,
    Start,
    spec_digest,
)
from contract.desired import Module
from contract.lifecycle import Lifecycle, Restart
from tests.agent.test_planner import FRESH, V1, V2, desire, module, next_steps, observed, seen


def living(version: Module, **life: Any) -> Module:
    return msgspec.structs.replace(version, lifecycle=Lifecycle(**life))


def on(version: Module, **more: Any) -> Memory:
    return Memory(committed={version.name: version}, **more)


def test_how_a_module_lives_changes_without_another_container() -> None:
    later = living(V1, restart="on-unhealthy")
    assert spec_digest(later) == spec_digest(V1)
    assert next_steps(desire(later), observed(seen(V1, "ready"))) == (Commit(later),)
    # And while it crashed just then, the version has not failed.
    assert next_steps(desire(later), observed(seen(V1, "exited"))) == (Remove("c-digits:1", crashed=True),)


RESTARTS: list[tuple[Restart, int | None, bool]] = [
    ("always", 0, True), ("always", 1, True), ("always", None, True),
    ("on-unhealthy", 0, False), ("on-unhealthy", 1, True), ("on-unhealthy", None, True),
    ("on-failure", 0, False), ("on-failure", 137, True), ("on-failure", None, True),
    ("never", 0, False), ("never", 1, False), ("never", None, False),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "code", "again"), RESTARTS)
def test_what_ended_is_started_again_as_its_policy_says(
    policy: Restart, code: int | None, again: bool
) -> None:
    version = living(V1, restart=policy)
    dead = replace(seen(version, "exited"), exit_code=code)
    steps = next_steps(desire(version), observed(dead), on(version))
    if again:
        assert steps == (Remove(dead.id, crashed=True),)
        assert next_steps(desire(version), observed(), on(version)) == (Start(version),)
    else:
        assert steps == (Finish(version), Remove(dead.id, crashed=False))
        done = on(version, finished={"digits": spec_digest(version)})
        assert next_steps(desire(version), observed(), done) == ()
        (report,) = module_reports(desire(version), observed(), done, Context())
        assert report.state == "exited"
        assert converged(desire(version), observed(), (report,))


def test_what_has_ended_starts_again_as_another_version() -> None:
    version, other = living(V1, restart="never"), living(V2, restart="never")
    done = on(version, finished={"digits": spec_digest(version)})
    assert next_steps(desire(other), observed(), done) == (Start(other),)


def test_a_job_that_ends_well_before_it_is_ready_has_passed() -> None:
    job = living(V2, restart="on-failure")
    well = replace(seen(job, "exited"), exit_code=0)
    assert next_steps(desire(job), observed(well), FRESH) == (
        Commit(job), Finish(job), Remove(well.id, crashed=False),
    )  # fmt: skip
    ill = replace(well, exit_code=1)
    assert next_steps(desire(job), observed(ill), FRESH)[-1] == Fail(
        "digits", Failure(2, "stopped before it was ready")
    )


def test_what_does_not_live_is_stopped_and_started_again() -> None:
    sick = seen(V1, "ready")
    context = Context(unhealthy=frozenset({sick.id}))
    assert next_steps(desire(V1), observed(sick), context=context) == (Condemn(sick.id),)
    for policy in ("on-failure", "never"):
        left = seen(living(V1, restart=policy), "ready")
        assert next_steps(desire(left.module), observed(left), on(left.module), context) == ()


def test_what_does_not_live_is_stopped_while_the_next_version_is_pulled() -> None:
    sick = seen(V1, "ready")
    context = Context(unhealthy=frozenset({sick.id}), pulling=frozenset({V2.image.digest}))
    assert Condemn(sick.id) in next_steps(desire(V2), observed(sick, staged=(V1,)), context=context)


def test_a_module_waits_for_those_that_it_depends_on() -> None:
    camera, scorer = module(3, name="camera"), living(V1, depends_on=("camera",))
    state = observed(seen(camera, "starting"), staged=(camera, V1))
    assert next_steps(desire(camera, scorer), state, on(camera)) == ()
    reports = {r.name: r for r in module_reports(desire(camera, scorer), state, on(camera), Context())}
    assert (reports["digits"].state, reports["digits"].reason) == ("waiting", "for camera")
    state = observed(seen(camera, "ready"), staged=(camera, V1))
    assert next_steps(desire(camera, scorer), state, on(camera)) == (Start(scorer),)
    # What runs goes on without it.
    state = observed(seen(scorer, "ready"), staged=(V1,))
    both = Memory(committed={"camera": camera, "digits": scorer})
    assert next_steps(desire(scorer, camera), state, both) == (Pull(camera),)


def test_stop_first_stops_the_old_one_when_the_new_one_is_there() -> None:
    target = living(V2, update="stop-first")
    old = seen(V1, "ready")
    assert next_steps(desire(target), observed(old, staged=(V1,))) == (Pull(target),)
    assert next_steps(desire(target), observed(old)) == (Drain(old.id),)
    assert next_steps(desire(target), observed(seen(V1, "draining"))) == ()
    assert next_steps(desire(target), observed()) == (Start(target),)
    # While the new one starts the old one is not started beside it.
    assert next_steps(desire(target), observed(seen(target, "starting"))) == ()


def test_stop_first_goes_back_to_the_old_one() -> None:
    target = living(V2, update="stop-first")
    failed = on(V1, failed={"digits": Failure(2, "x")})
    assert next_steps(desire(target), observed(), failed) == (Start(V1),)


def test_delete_first_stops_before_it_pulls() -> None:
    target = living(V2, update="delete-first")
    old = seen(V1, "ready")
    assert next_steps(desire(target), observed(old, staged=(V1,))) == (Drain(old.id),)
    assert next_steps(desire(target), observed(staged=(V1,))) == (Pull(target),)
    pulling = Context(pulling=frozenset({V2.image.digest}))
    assert next_steps(desire(target), observed(staged=(V1,)), context=pulling) == ()
    assert next_steps(desire(target), observed(staged=(V2,))) == (Start(target),)
    failed = on(V1, failed={"digits": Failure(2, "x")})
    assert next_steps(desire(target), observed(staged=(V2,)), failed) == (Pull(V1),)


HELD = Context(held={"digits": "waits for its maintenance window"})


def test_a_change_that_has_to_wait_is_fetched_and_not_begun() -> None:
    old = seen(V1, "ready")
    assert next_steps(desire(V2), observed(old, staged=(V1,)), context=HELD) == (Pull(V2),)
    assert next_steps(desire(V2), observed(old), context=HELD) == ()
    (report,) = module_reports(desire(V2), observed(old), on(V1), HELD)
    assert (report.state, report.reason) == ("waiting", "waits for its maintenance window")
    small = living(V2, update="delete-first")
    assert next_steps(desire(small), observed(old, staged=(V1,)), context=HELD) == ()


def test_what_runs_is_mended_while_its_change_waits() -> None:
    assert next_steps(desire(V2), observed(seen(V1, "exited")), context=HELD) == (
        Remove("c-digits:1", crashed=True),
        # Nothing runs that a change would disturb.
        Start(V2),
    )


def test_a_removal_waits_too() -> None:
    old = seen(V1, "ready")
    assert next_steps(desire(), observed(old), context=HELD) == ()
    assert next_steps(desire(), observed(old)) == (Drain(old.id), Forget("digits"))


def test_a_change_that_has_begun_goes_on() -> None:
    state = observed(seen(V1, "ready"), seen(V2, "ready"))
    assert next_steps(desire(V2), state, context=HELD) == (Commit(V2), Drain("c-digits:1"))


def test_a_first_version_does_not_wait() -> None:
    assert next_steps(desire(V1), observed(), FRESH, HELD) == (Start(V1),)


def test_a_module_that_stops_again_and_again_is_reported_and_tried_on() -> None:
    spec = frozenset({spec_digest(V1)})
    state = observed()
    (report,) = module_reports(desire(V1), state, on(V1), Context(backing_off=spec, broken=spec))
    assert report.state == "broken"
    assert next_steps(desire(V1), state, on(V1), Context(broken=spec)) == (Start(V1),)
