"""A fleet in virtual time around the rules: it does what they decide, its devices as they are told to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from cloud_hub.rollouts.queries import Answered
from cloud_hub.rollouts.waves import Decision, Member, Rules, Share, Standing, decide, noted, outcome

START = datetime(2026, 1, 1, tzinfo=UTC)
OFTEN = Rules(
    waves=1,
    at_once=1000,
    per_minute=1000,
    bake_s=0,
    deadline_s=60,
    away_s=30,
    failures=Share(),
    on_failure="abort",
)


@dataclass(frozen=True)
class Behaviour:
    """What a device does with a document: silent for ever, or heard after a time and ending after another.

    Until it ends it is as ``before``; from ``silent_after_s`` on nothing more is heard of it.
    """

    heard_after_s: float | None = 1
    ends_after_s: float = 2
    ends: str = "running"
    before: str = "rolling"
    silent_after_s: float | None = None


WELL, BAD, SILENT = Behaviour(), Behaviour(ends="failed"), Behaviour(heard_after_s=None)


def rules(**changed: object) -> Rules:
    """Return rules that ask for nothing but what is said."""
    return msgspec.structs.replace(OFTEN, **changed)


@dataclass
class Fleet:
    """Devices by name, each in a wave; ``step`` is one look of the rules."""

    rules: Rules
    waves: Sequence[Sequence[str]]
    behaviours: Mapping[str, Behaviour] = field(default_factory=dict)
    now: datetime = START
    standing: Standing = field(default_factory=lambda: Standing(state="running"))
    members: dict[str, Member] = field(init=False)
    given: list[tuple[datetime, str]] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    answers: Callable[["Fleet"], tuple[Answered, ...] | None] = lambda _: None
    asked: list[datetime] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rules = msgspec.structs.replace(self.rules, waves=len(self.waves))
        self.members = {
            device: Member(device=device, wave=wave, phase="pending")
            for wave, devices in enumerate(self.waves)
            for device in devices
        }

    @property
    def state(self) -> str:
        """How the rollout is."""
        return self.standing.state

    def step(self) -> Decision:
        """Ask the rules once, and do what they say."""
        self.members = {name: noted(self.rules, member, self.now) for name, member in self.members.items()}
        members = list(self.members.values())
        decision = decide(self.rules, self.standing, members, self.now, self.answers(self))
        if decision.ask:
            self.asked.append(self.now)
        self.standing = decision.standing
        for device in decision.give:
            assert self.members[device].phase == "pending", "given twice"
            self.given.append((self.now, device))
            self._set(device, phase="moved", moved_at=self.now, state="waiting")
        # One that was away and comes back comes on top.
        assert not decision.give or self.under_way() <= self.rules.at_once, "too many at once"
        for device in decision.take_back:
            self.taken_back.append(device)
            self._set(device, phase="returned", state="returning")
        return decision

    def settle(self) -> None:
        """Step until there is nothing to do now."""
        for _ in range(10_000):
            before = self.standing
            decision = self.step()
            if (before.state, before.wave) == (self.standing.state, self.standing.wave) and not (
                decision.give or decision.take_back
            ):
                return
        raise AssertionError("the rules never come to rest")

    def pass_time(self, seconds: float) -> None:
        """Let devices go on, and the rules look, each second."""
        end = self.now + timedelta(seconds=seconds)
        self.settle()
        while self.now < end:
            self.now += timedelta(seconds=1)
            self._devices_go_on()
            self.settle()

    def until(self, done: Callable[[], bool], within_s: float = 100_000) -> None:
        """Let time pass until ``done``."""
        for _ in range(int(within_s)):
            if done():
                return
            self.pass_time(1)
        raise AssertionError(f"not within {within_s:g} s: {self.standing}")

    def steer(self, **changed: object) -> None:
        """Do as a person does to where the rollout stands."""
        self.standing = msgspec.structs.replace(self.standing, **changed)

    def set(self, device: str, **changed: object) -> None:
        """Let something become of a device."""
        self._set(device, **changed)

    def phases(self) -> dict[str, str]:
        """Return how far each device is."""
        return {device: member.phase for device, member in self.members.items()}

    def under_way(self) -> int:
        """Return how many devices are changing."""
        moved = [member for member in self.members.values() if member.phase == "moved"]
        return sum(outcome(self.rules, member, self.now) == "under way" for member in moved)

    def _devices_go_on(self) -> None:
        for device, member in self.members.items():
            does = self.behaviours.get(device, WELL)
            if member.phase != "moved" or member.moved_at is None or member.state == "superseded":
                continue
            since_s = (self.now - member.moved_at).total_seconds()
            if does.heard_after_s is None or since_s < does.heard_after_s:
                continue
            if does.silent_after_s is None or since_s < does.silent_after_s:
                state = does.ends if since_s >= does.ends_after_s else does.before
                self._set(device, seen_at=self.now, state=state)

    def _set(self, device: str, **changed: object) -> None:
        self.members[device] = msgspec.structs.replace(self.members[device], **changed)
