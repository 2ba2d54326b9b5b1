"""What passes between the simulator and its worker processes: one JSON document a line."""

from collections.abc import Callable, Iterable

import msgspec

from simulators.fleet.journal import Story
from simulators.fleet.scenario import Crew


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The devices of one worker; each has its identity in ``folder/name``.

    They begin ``spread_s`` apart at the most, by lot. ``hasty`` devices try again at once where the agent
    would wait: they show what its waits are for.
    """

    folder: str
    crews: list[Crew]
    seed: int
    spread_s: float = 0.0
    report_interval_s: float = 60.0
    hasty: bool = False

    @property
    def devices(self) -> int:
        """How many they are."""
        return sum(len(crew.devices) for crew in self.crews)


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The worker has read its devices' identities; it begins when it is told to."""

    devices: int


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Where the worker's devices are now.

    ``came`` have been connected at least once; ``running`` and ``failed`` count, by rollout, the devices that
    said so; ``first_reports_at`` is when the first of them reported it, ``last_settled_at`` when the last had
    settled. ``acks`` came from the hub, the last one at ``last_ack_at``. Times are seconds of the machine's
    steady clock. ``waiting`` samples have no acknowledgement yet, and ``quiet`` says that no more are taken.
    ``resident_bytes`` is the worker's memory.
    """

    connected: int
    came: int
    tried: int
    running: dict[str, int]
    failed: dict[str, int]
    first_reports_at: dict[str, float] = {}
    last_settled_at: dict[str, float] = {}
    acks: int = 0
    last_ack_at: float = 0.0
    waiting: int
    quiet: bool
    resident_bytes: int


class Stories(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The end: what every device did."""

    stories: list[Story]


def by_rollout(
    which: Callable[[float, float], float], times: Iterable[tuple[str, float]]
) -> dict[str, float]:
    """Return one time of each rollout: ``which`` (`min` or `max`) of its times."""
    found: dict[str, float] = {}
    for rollout, at in times:
        found[rollout] = which(found.get(rollout, at), at)
    return found


Said = Loaded | Progress | Stories
BEGIN, QUIET, FINISH = b"begin\n", b"quiet\n", b"finish\n"
MAX_LINE_BYTES = 1 << 30
