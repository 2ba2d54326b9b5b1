"""What a long run found, printed at its end also where pytest keeps what is printed."""

from collections import Counter
from dataclasses import dataclass, field

import pytest


@dataclass
class Summary:
    """Points that were tried, how each ended, and the longest time until all was well."""

    title: str
    outcomes: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    notes: list[str] = field(default_factory=list)

    def add(self, outcome: str, seconds: float = 0.0) -> None:
        """Count one."""
        self.outcomes[outcome] += 1
        self.longest_s = max(self.longest_s, seconds)

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    def show(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Print it for whoever runs the tests."""
        lines = [f"{self.title}: {self.total}"]
        lines += [f"  {count:6}  {outcome}" for outcome, count in sorted(self.outcomes.items())]
        if self.longest_s:
            lines.append(f"  longest until all was well: {self.longest_s:.2f} s")
        lines += [f"  {note}" for note in self.notes]
        with capsys.disabled():
            print("\n" + "\n".join(lines))
