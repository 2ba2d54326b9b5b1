"""How long to wait before the next try to connect; pure, with the time and the chance given.

The wait follows how long the hub has been away: a link that comes back after 20 s is used within 7 s, and
one that is away for hours is tried once or twice a minute. Each wait is drawn by lot: the devices of a fleet
do not all come at once.
"""

from typing import Final

SHORTEST_S: Final = 3.0
LONGEST_S: Final = 60.0
SHARE: Final = 1 / 3


def wait_s(away_s: float, chance: float) -> float:
    """Return the wait after ``away_s`` without a connection; ``chance`` is from 0 to 1."""
    bound_s = min(LONGEST_S, max(SHORTEST_S, away_s * SHARE))
    return bound_s * (1 + 2 * chance) / 3
