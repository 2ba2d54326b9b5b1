"""What stories of devices say together. Pure: times are seconds of one steady clock."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from simulators.fleet.journal import Story

MOST_IN_A_SECOND: Final = 3
WITHIN_S: Final = 60.0


def most_in(times: Sequence[float], window_s: float = 1.0) -> int:
    """Return how many of ``times`` (in their order) lie in the fullest window."""
    return max((bisect_right(times, at + window_s) - i for i, at in enumerate(times)), default=0)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share of ``values`` is not above (nearest rank); 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0.0


def back_at(story: Story, since: float) -> float | None:
    """Return when a device was connected for good after ``since``; None where it is not connected at the end.

    ``since`` itself where it never lost its connection after that.
    """
    if not story.connected_at or (story.lost_at and story.lost_at[-1] > story.connected_at[-1]):
        return None
    return max(story.connected_at[-1], since)


def storm_faults(
    stories: Sequence[Story], since: float, *, within_s: float = WITHIN_S, most: int = MOST_IN_A_SECOND
) -> list[str]:
    """Return, in words, what is wrong with how devices came back after ``since``; best nothing.

    All of them are connected ``within_s``, and none tried more than ``most`` times in any second.
    """
    faults = []
    for story in stories:
        back = back_at(story, since)
        if back is None:
            faults.append(f"{story.device} is not connected")
        elif back - since > within_s:
            faults.append(f"{story.device} was connected after {back - since:.1f} s")
        after = story.tried_at[bisect_left(story.tried_at, since) :]
        if (tries := most_in(after)) > most:
            faults.append(f"{story.device} tried {tries} times in one second")
    return faults
