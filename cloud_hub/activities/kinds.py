"""Kinds of activities: what is done for each, and how often it is tried."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from contract.ids import check_name


class Progress(Protocol):
    """What a handler says of its work, and how it learns that it is to stop."""

    @property
    def activity(self) -> str:
        """The activity's id: the same in every attempt, so the key that makes a result a single one."""
        ...

    def __call__(self, fraction: float, message: str) -> None:
        """Say how far it is (0.0 to 1.0); the message goes to the log. Raises `ActivityStoppedError`."""
        ...

    def stopped(self) -> bool:
        """Is the work to stop? For what a handler waits for, such as a child process."""
        ...


Handler = Callable[[dict[str, Any], Progress], dict[str, Any]]
"""Does the work with the activity's parameters; returns the result (JSON), raises where it fails.

It may be run again after it was cut off anywhere, and at worst beside an attempt that lost its lease:
it must lead to the same result.
"""


@dataclass(frozen=True)
class Kind:
    """A kind of activity; ``max_attempts`` counts those that the death of a hub cut off."""

    name: str
    handler: Handler
    max_attempts: int = 3

    def __post_init__(self) -> None:
        check_name(self.name, where="kind of activity")
        if self.max_attempts < 1:
            raise ValueError(f"{self.name}: at least one attempt")
