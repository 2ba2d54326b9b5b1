"""Gates by query: what a wave's own samples have to say before the next one comes. Pure."""

import math
from collections.abc import Sequence

import msgspec


class QueryGate(msgspec.Struct, frozen=True, kw_only=True):
    """A SELECT that answers one number, and its bounds."""

    name: str
    sql: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def bounds(self) -> str:
        """The bounds in words."""
        said = {"at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{words} {bound:g}" for words, bound in said.items() if bound is not None)

    def holds(self, value: float) -> bool:
        """Is it within the bounds? What is no number (NaN) is not."""
        low, high = self.at_least, self.at_most
        return not math.isnan(value) and (low is None or value >= low) and (high is None or value <= high)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a query answered: a number, or why there is none; neither where it answered NULL."""

    value: float | None = None
    problem: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers say: a gate that failed, or one that has no answer yet, or all that passed."""

    failed: str = ""
    waits: str = ""
    passed: str = ""


def judged(gates: Sequence[QueryGate], answers: Sequence[Answered]) -> Verdict:
    """Return the verdict; one failed gate is enough, whatever the others wait for."""
    told = [(gate, answer.value) for gate, answer in zip(gates, answers, strict=True)]
    failed = [
        f"{gate.name} is {value:g}, {gate.bounds} may be"
        for gate, value in told
        if value is not None and not gate.holds(value)
    ]
    if failed:
        return Verdict(failed="; ".join(failed))
    waits = [
        f"{gate.name} has no answer" + (f": {answer.problem}" if answer.problem else "")
        for gate, answer in zip(gates, answers, strict=True)
        if answer.value is None
    ]
    if waits:
        return Verdict(waits="; ".join(waits))
    return Verdict(passed="; ".join(f"{gate.name} is {value:g}" for gate, value in told))
