"""The planner, the memory and the report, where a container is out of memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.reconcile.records import AgentRecords
from agent.reconcile.remembering import remembering
from agent.reconcile.report import converged, module_reports
from agent.reconcile.state import (
    ContainerSeen,
    Context,
    Drain,
    Fail,
    Failure,
    Finish,
    Forget,
    Kill,
    Memory,
    Note,
    Phase,
    Remove,
    Start,
    Stop,
    spec_digest,
)
from contract.desired import Limits, Module
from contract.lifecycle import Lifecycle, Restart, Update
from tests.agent.test_planner import FRESH, IDLE, ON_V1, V1, V2, desire, next_steps, observed, seen

WHY = "out of memory (its limit is 256 MiB)"
STOPPED = replace(ON_V1, stopped={"digits": Stop(spec_digest(V1), WHY)})


def starved(version: Module, phase: Phase, **more: Any) -> ContainerSeen:
    return replace(seen(version, phase), out_of_memory=True, **more)


def living(version: Module, restart: Restart = "always", update: Update = "hand-over") -> Module:
    return msgspec.structs.replace(version, lifecycle=Lifecycle(restart=restart, update=update))


@pytest.mark.parametrize(
    ("size", "words"),
    [(16 << 20, "16 MiB"), (16 << 30, "16384 MiB"), (100_000_000, "95.4 MiB"), (17_301_504, "16.5 MiB")],
)
def test_the_limit_is_in_the_words(size: int, words: str) -> None:
    version = msgspec.structs.replace(V1, limits=Limits(memory_bytes=size))
    assert starved(version, "exited").why == f"out of memory (its limit is {words})"
    assert seen(version, "exited").why == ""


@pytest.mark.parametrize("phase", ["starting", "ready", "draining"])
def test_what_is_half_alive_is_killed_as_a_whole_and_what_has_memory_is_left_alone(phase: Phase) -> None:
    half = starved(V1, phase)
    assert Kill(half.id, WHY) in next_steps(desire(V1), observed(half))
    assert next_steps(desire(V1), observed(seen(V1, "ready"))) == ()


def test_until_it_has_ended_nothing_starts_in_its_place() -> None:
    half = starved(V1, "ready")
    assert next_steps(desire(V1), observed(half)) == (Kill(half.id, WHY),)
    pulling = Context(pulling=frozenset({V2.image.digest}))
    assert next_steps(desire(V2), observed(half, staged=(V1,)), context=pulling) == (Kill(half.id, WHY),)


def test_one_that_drains_is_killed_once_also_after_its_grace() -> None:
    late = starved(V1, "draining", draining_s=11)
    memory = Memory(committed={"digits": V2})
    assert next_steps(desire(V2), observed(late, seen(V2, "ready")), memory) == (Kill(late.id, WHY),)


def test_one_that_does_not_live_either_is_killed_and_not_asked() -> None:
    half = starved(V1, "ready")
    steps = next_steps(desire(V1), observed(half), context=Context(unhealthy=frozenset({half.id})))
    assert steps[-1] == Kill(half.id, WHY)


@pytest.mark.parametrize("phase", ["starting", "ready"])
@pytest.mark.parametrize("update", ["hand-over", "stop-first"])
def test_a_version_does_not_pass_half_alive(phase: Phase, update: Update) -> None:
    target = living(V2, update=update)
    half = starved(target, phase)
    steps = next_steps(desire(target), observed(seen(V1, "ready"), half))
    assert steps == (Kill(half.id, WHY), Fail("digits", Failure(2, f"stopped before it was ready: {WHY}")))


def test_a_version_that_is_rolled_back_carries_the_reason() -> None:
    dead = starved(V2, "exited", exit_code=137)
    state = observed(seen(V1, "ready"), dead)
    steps = next_steps(desire(V2), state)
    failure = Failure(2, f"stopped before it was ready: {WHY}")
    assert steps == (
        Note("digits", Stop(spec_digest(V2), WHY)),
        Remove(dead.id, crashed=True, why=WHY),
        Fail("digits", failure),
    )
    memory = replace(ON_V1, failed={"digits": failure})
    (line,) = module_reports(desire(V2), observed(seen(V1, "ready")), memory, IDLE)
    assert (line.state, line.image, line.reason) == ("rolled_back", V1.image.name, failure.reason)


RESTARTS: list[tuple[Restart, bool]] = [
    ("always", True), ("on-unhealthy", True), ("on-failure", True), ("never", False),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "again"), RESTARTS)
@pytest.mark.parametrize("code", [137, 0, None])
def test_it_counts_as_a_failure_whatever_its_first_process_said(
    policy: Restart, again: bool, code: int | None
) -> None:
    version = living(V1, policy)
    dead = starved(version, "exited", exit_code=code)
    memory = Memory(committed={"digits": version})
    note = Note("digits", Stop(spec_digest(version), WHY))
    steps = next_steps(desire(version), observed(dead), memory)
    if again:
        assert steps == (note, Remove(dead.id, crashed=True, why=WHY))
        assert next_steps(desire(version), observed(), memory) == (Start(version),)
    else:
        assert steps == (Finish(version), note, Remove(dead.id, crashed=False, why=WHY))
        for step in steps[:2]:
            assert isinstance(step, (Finish, Note))
            memory = remembering(memory, step)
        (line,) = module_reports(desire(version), observed(), memory, IDLE)
        assert (line.state, line.reason) == ("exited", WHY)


def test_the_same_again_writes_nothing_and_another_crash_is_another_reason() -> None:
    dead = starved(V1, "exited")
    assert next_steps(desire(V1), observed(dead), STOPPED) == (Remove(dead.id, crashed=True, why=WHY),)
    crashed = seen(V1, "exited")
    steps = next_steps(desire(V1), observed(crashed), STOPPED)
    assert steps == (Note("digits", None), Remove(crashed.id, crashed=True))
    assert remembering(STOPPED, Note("digits", None)) == ON_V1
    assert next_steps(desire(V1), observed(seen(V1, "lost")), STOPPED)[0] == Remove(
        crashed.id, crashed=False
    ), "a reboot is no reason of its own"


@pytest.mark.parametrize(
    ("containers", "context", "expected"),
    [
        ((), IDLE, ("starting", WHY)),
        ((seen(V1, "starting"),), IDLE, ("starting", WHY)),
        ((seen(V1, "ready"),), IDLE, ("running", f"started again, it was {WHY}")),
        (
            (),
            Context(broken=frozenset({spec_digest(V1)})),
            ("broken", f"it stops again and again, {WHY}; it is tried again after the longest wait"),
        ),
        ((), Context(start_troubles={"digits": "no"}), ("starting", "no")),
    ],
)
def test_the_report_says_why(
    containers: tuple[ContainerSeen, ...], context: Context, expected: tuple[str, str]
) -> None:
    (line,) = module_reports(desire(V1), observed(*containers), STOPPED, context)
    assert (line.state, line.reason) == expected


def test_another_limit_is_another_specification_and_begins_anew() -> None:
    larger = msgspec.structs.replace(V1, limits=Limits(memory_bytes=1 << 30))
    memory = replace(STOPPED, committed={"digits": larger})
    (line,) = module_reports(desire(larger), observed(seen(larger, "ready")), memory, IDLE)
    assert (line.state, line.reason) == ("running", "")


def test_converged_is_what_runs_again_and_not_what_is_half_alive() -> None:
    for container, settled in ((seen(V1, "ready"), True), (starved(V1, "ready"), False)):
        state = observed(container)
        assert converged(desire(V1), state, module_reports(desire(V1), state, STOPPED, IDLE)) == settled


def test_a_module_that_is_taken_away_is_forgotten_with_it() -> None:
    assert next_steps(desire(), observed(), Memory(stopped=STOPPED.stopped)) == (Forget("digits"),)
    assert remembering(STOPPED, Forget("digits")) == Memory()
    half = starved(V1, "ready")
    assert next_steps(desire(), observed(half), FRESH) == (
        Kill(half.id, WHY), Drain(half.id), Forget("digits"),
    )  # fmt: skip
    dead = starved(V1, "exited")
    assert next_steps(desire(), observed(dead), FRESH) == (Remove(dead.id, crashed=True, why=WHY),)


def test_the_reason_outlives_the_agent_and_an_older_memory_is_read(tmp_path: Path) -> None:
    records = AgentRecords(tmp_path)
    records.save_memory(STOPPED)
    assert AgentRecords(tmp_path).load_memory() == STOPPED
    assert STOPPED.why_stopped(V1) == WHY
    assert STOPPED.why_stopped(V2) == ""
    file = msgspec.json.decode((tmp_path / "memory.json").read_bytes())
    del file["stopped"]
    (tmp_path / "memory.json").write_bytes(msgspec.json.encode(file))
    assert records.load_memory() == ON_V1
