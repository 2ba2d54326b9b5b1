"""The planner where modules are given secrets: nothing stops for a version whose secrets are not here."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agent.reconcile.report import converged, module_reports
from agent.reconcile.state import (
    Commit,
    Context,
    Drain,
    Failure,
    Fetch,
    Memory,
    Observed,
    Pull,
    Remove,
    Start,
    spec_digest,
)
from contract.desired import Module
from contract.lifecycle import Lifecycle
from contract.secrets import SecretRef
from tests.agent.test_planner import FRESH, V1, V2, desire, next_steps, observed, seen

REF = SecretRef(file="password", name="db", version=1)


def given(module: Module, version: int = 1, **life: Any) -> Module:
    secrets = (msgspec.structs.replace(REF, version=version),)
    lifecycle = Lifecycle(**life) if life else msgspec.UNSET
    return msgspec.structs.replace(module, secrets=secrets, lifecycle=lifecycle)


def without(state: Observed, *modules: Module) -> Observed:
    return replace(state, lacking=frozenset(map(spec_digest, modules)))


def test_secrets_are_fetched_beside_the_image_and_nothing_starts_without_them() -> None:
    target = given(V1)
    lacking = without(observed(staged=()), target)
    assert next_steps(desire(target), lacking, FRESH) == (Fetch(target), Pull(target))
    lacking = without(observed(), target)
    assert next_steps(desire(target), lacking, FRESH) == (Fetch(target),)
    busy = Context(fetching=frozenset({spec_digest(target)}))
    assert next_steps(desire(target), lacking, FRESH, busy) == ()
    assert next_steps(desire(target), observed(), FRESH) == (Start(target),)


@pytest.mark.parametrize("update", ["hand-over", "stop-first", "delete-first"])
def test_an_update_whose_secret_is_not_here_leaves_what_runs_and_mends_it(update: str) -> None:
    target, old = given(V2, update=update), seen(V1, "ready")
    busy = Context(fetching=frozenset({spec_digest(target)}))
    assert next_steps(desire(target), without(observed(old), target), context=busy) == ()
    assert next_steps(desire(target), without(observed(), target), context=busy) == (Start(V1),)
    dead = seen(V1, "exited")
    assert next_steps(desire(target), without(observed(dead), target), context=busy) == (
        Remove(dead.id, crashed=True),
    )  # and then as above
    # The negative control: with it, the update goes on as ever.
    begins = {"hand-over": Start(target), "stop-first": Drain(old.id), "delete-first": Drain(old.id)}
    staged = observed(old, staged=(V1,) if update == "delete-first" else (V1, V2))
    assert begins[update] in next_steps(desire(target), staged)


def test_another_version_of_a_secret_is_another_version_of_the_module() -> None:
    old, new = given(V1, 1), given(V1, 2)
    assert spec_digest(old) != spec_digest(new)
    steps = next_steps(desire(new), observed(seen(old, "ready")), Memory(committed={"digits": old}))
    assert steps == (Start(new),)


def test_what_runs_is_left_where_its_own_secret_is_lost_and_that_is_fetched_anew() -> None:
    version = given(V1)
    memory = Memory(committed={"digits": version})
    running = without(observed(seen(version, "ready")), version)
    assert next_steps(desire(version), running, memory) == (Fetch(version),)
    assert [r.state for r in module_reports(desire(version), running, memory, Context())] == ["running"]
    # It crashed: it waits for the secret, and is not started to fail.
    assert next_steps(desire(version), without(observed(), version), memory) == (Fetch(version),)


def test_it_goes_back_to_a_version_only_with_that_one_s_secrets() -> None:
    old, new = given(V1), given(V2, 2)
    memory = Memory(committed={"digits": old}, failed={"digits": Failure(2, "x")})
    assert next_steps(desire(new), without(observed(), old, new), memory) == (Fetch(old),)
    assert next_steps(desire(new), without(observed(), new), memory) == (Start(old),)


def test_secrets_of_the_next_version_are_fetched_while_the_change_waits() -> None:
    target = given(V2)
    held = Context(held={"digits": "waits for its maintenance window"})
    state = without(observed(seen(V1, "ready")), target)
    assert next_steps(desire(target), state, context=held) == (Fetch(target),)


def test_the_report_says_what_a_module_waits_for() -> None:
    target = given(V2)
    state = without(observed(seen(V1, "ready")), target)
    memory = Memory(committed={"digits": V1})
    why = Context(secret_troubles={spec_digest(target): "secret db:1: the hub does not answer"})
    reports = module_reports(desire(target), state, memory, why)
    assert [(r.state, r.reason) for r in reports] == [
        ("waiting", "for its secrets: secret db:1: the hub does not answer")
    ]
    assert not converged(desire(target), state, reports)
    assert Commit(target) not in next_steps(desire(target), state, memory, why)
