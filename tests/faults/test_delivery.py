"""FAULTS 14: whatever happens to documents on their way, the agent ends at the highest valid generation."""

import time

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.faults.delivery import Delivery, ForgetfulDelivery, LowDelivery
from tests.faults.summary import Summary

EXAMPLES, SOAK_EXAMPLES, STEPS = 60, 1000, 25


def examples(machine: type[RuleBasedStateMachine], count: int, *, shrink: bool = True) -> None:
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=count,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=phases,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_highest_valid_generation_is_reached_and_nothing_is_done_twice() -> None:
    examples(Delivery, EXAMPLES)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_thousand_examples(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.process_time()
    examples(Delivery, SOAK_EXAMPLES)
    summary = Summary("examples of deliveries")
    summary.outcomes["the highest valid generation runs, nothing was done twice"] = SOAK_EXAMPLES
    summary.notes.append(f"{STEPS} steps at most each, {time.process_time() - began:.0f} s of CPU")
    summary.show(capsys)


def test_negative_control_a_desk_that_takes_lower_generations_is_caught() -> None:
    with pytest.raises(AssertionError):
        examples(LowDelivery, EXAMPLES, shrink=False)


def test_negative_control_an_agent_that_starts_twice_is_caught() -> None:
    with pytest.raises(AssertionError):
        examples(ForgetfulDelivery, EXAMPLES, shrink=False)
