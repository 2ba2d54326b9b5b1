"""The figures of a run: one value to print, or to keep as JSON."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from simulators.fleet.journal import Story
from simulators.fleet.judge import back_at, most_in, percentile


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that devices took: the first, half of them, 95 and 99 in a hundred, and the last."""

    first: float
    p50: float
    p95: float
    p99: float
    last: float


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the devices of one group: how many they are, are connected at the end, run it, and failed."""

    devices: int
    connected: int
    running: int
    failed: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run; seconds, bytes, counts.

    ``connect_s`` counts from the moment that the devices may begin; ``report_s`` and ``settle_s`` from the
    moment that the rollout was given to the hub, ``apply_s`` until the hub's answer. ``settled`` means that
    a device reported that it runs it, or that it failed.
    """

    devices: int
    processes: int
    enrolled: int
    enrol_s: float
    connected: int
    connect_s: Spread | None
    tries: int
    most_tries_in_a_second: int
    failed_tries: dict[str, int]
    lost_connections: int
    refused_documents: dict[str, int]
    rollout: str = ""
    apply_s: float = 0.0
    running: int = 0
    failed: int = 0
    report_s: Spread | None = None
    settle_s: Spread | None = None
    resident_bytes_per_device: int = 0
    samples: int = 0
    samples_waiting: int = 0
    samples_dropped: int = 0
    groups: dict[str, "GroupFigures"] = {}


def spread(values: Sequence[float]) -> Spread | None:
    """Return how values spread; None where there are none."""
    if not values:
        return None
    at = [percentile(values, share) for share in (0.5, 0.95, 0.99)]
    first, p50, p95, p99, last = (round(each, 3) for each in (min(values), *at, max(values)))
    return Spread(first=first, p50=p50, p95=p95, p99=p99, last=last)


@dataclass(frozen=True, kw_only=True)
class Enrolling:
    """How many devices were enrolled in this run, and how long that took."""

    devices: int
    seconds: float


@dataclass(frozen=True)
class Applied:
    """A rollout: its name and revision, when it was given to the hub, and how long the answer took."""

    name: str
    at: float
    answer_s: float


def figures_of(
    stories: Sequence[Story],
    processes: int,
    began_at: float,
    enrolling: Enrolling,
    applied: Applied | None,
    resident_bytes: int,
) -> Figures:
    """Return the figures of a run that ``began_at``, from what its devices did."""
    ours = [story for story in stories if applied is not None and story.rollout == applied.name]
    given_at = applied.at if applied is not None else 0.0
    settled = [story for story in ours if story.settled_at]
    return Figures(
        devices=len(stories),
        processes=processes,
        enrolled=enrolling.devices,
        enrol_s=round(enrolling.seconds, 3),
        connected=sum(back_at(story, began_at) is not None for story in stories),
        connect_s=spread([story.connected_at[0] - began_at for story in stories if story.connected_at]),
        tries=sum(len(story.tried_at) for story in stories),
        most_tries_in_a_second=max((most_in(story.tried_at) for story in stories), default=0),
        failed_tries=_total(story.failures for story in stories),
        lost_connections=sum(len(story.lost_at) for story in stories),
        refused_documents=_total(story.refused for story in stories),
        rollout=applied.name if applied is not None else "",
        apply_s=round(applied.answer_s, 3) if applied is not None else 0.0,
        running=sum(not story.failed for story in settled),
        failed=sum(story.failed for story in settled),
        report_s=spread([story.first_report_at - given_at for story in ours if story.first_report_at]),
        settle_s=spread([story.settled_at - given_at for story in settled]),
        resident_bytes_per_device=resident_bytes // max(1, len(stories)),
        samples=sum(story.taken for story in stories),
        samples_waiting=sum(story.waiting for story in stories),
        samples_dropped=sum(story.dropped for story in stories),
        groups=_groups(stories, settled, began_at),
    )


def _groups(stories: Sequence[Story], settled: Sequence[Story], began_at: float) -> dict[str, GroupFigures]:
    names = sorted({story.group for story in stories})
    return {
        name: GroupFigures(
            devices=sum(story.group == name for story in stories),
            connected=sum(s.group == name and back_at(s, began_at) is not None for s in stories),
            running=sum(story.group == name and not story.failed for story in settled),
            failed=sum(story.group == name and story.failed for story in settled),
        )
        for name in names
    }


def _total(counters: Iterable[dict[str, int]]) -> dict[str, int]:
    return dict(sum((Counter(each) for each in counters), Counter()).most_common())


def words(figures: Figures) -> str:
    """Return the figures as lines for a person."""
    lines = [
        ("devices", f"{figures.devices} in {figures.processes} processes"),
        ("enrolled now", f"{figures.enrolled} in {figures.enrol_s:.1f} s"),
        ("connected", f"{figures.connected}{_spread(figures.connect_s)}"),
        ("tries", f"{figures.tries}, at most {figures.most_tries_in_a_second} of one device in a second"),
        ("failed tries", _counts(figures.failed_tries)),
        ("lost connections", str(figures.lost_connections)),
        ("refused documents", _counts(figures.refused_documents)),
        ("memory of a device", f"{figures.resident_bytes_per_device / 1024:.0f} KiB"),
    ]
    if figures.rollout:
        lines += [
            ("rollout", f"{figures.rollout}, answered by the hub after {figures.apply_s:.1f} s"),
            ("first reports", _spread(figures.report_s).removeprefix(", ")),
            ("settled", f"{figures.running} run it, {figures.failed} failed{_spread(figures.settle_s)}"),
        ]
    if figures.samples:
        what = f"{figures.samples} taken, {figures.samples_waiting} wait, {figures.samples_dropped} dropped"
        lines.append(("samples", what))
    if len(figures.groups) > 1:
        lines += [
            (
                f"group {name}",
                f"{of.devices}: {of.connected} connected, {of.running} run it, {of.failed} failed",
            )
            for name, of in figures.groups.items()
        ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def _spread(value: Spread | None) -> str:
    if value is None:
        return ""
    return (
        f", the first after {value.first:.1f} s, half {value.p50:.1f}, 95 % {value.p95:.1f}, "
        f"99 % {value.p99:.1f}, the last {value.last:.1f}"
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
