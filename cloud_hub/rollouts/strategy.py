"""How a rollout goes over its devices, as a manifest says it, and which device is in which wave. Pure."""

import math
import re
from collections.abc import Sequence
from datetime import UTC
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from cloud_hub.rollouts.fields import Name, Strict
from cloud_hub.rollouts.queries import QueryGate
from cloud_hub.rollouts.targets import MOST_DEVICES, Conditions, DeviceFacts, Devices, matching
from cloud_hub.rollouts.waves import Rules, Share

MOST_WAVES = 50
MOST_QUERIES = 10
MOST_SQL = 4000
AWAY_S = 180.0
PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)%")


def _is_share(value: int | str) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_DEVICES:
        return value
    match = PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) > 100:
        raise ValueError("must be a number of devices, or a share of the wave such as 5%")
    return value


class WaveSpec(Strict):
    """Which devices come next: so many more, up to a share of all, by name, or by what they are."""

    count: Annotated[int, Field(ge=1, le=MOST_DEVICES)] | None = None
    percent: Annotated[float, Field(strict=False, gt=0, le=100)] | None = None
    devices: Devices | None = None
    where: Conditions | None = None
    approval: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(said is not None for said in (self.count, self.percent, self.devices, self.where)) != 1:
            raise ValueError("must have one of count, percent, devices and where")
        return self


Bound = Annotated[float, Field(strict=False, allow_inf_nan=False)]


class QuerySpec(Strict):
    """A number that the wave's own samples have to give, by SQL."""

    name: Name
    sql: Annotated[str, Field(min_length=1, max_length=MOST_SQL)]
    at_most: Bound | None = None
    at_least: Bound | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.at_most is None and self.at_least is None:
            raise ValueError("must have atMost or atLeast, or both")
        return self


class GatesSpec(Strict):
    """What a wave has to pass."""

    failures: Annotated[int | str, BeforeValidator(_is_share)] = 0
    restarts: Annotated[int, Field(ge=0, le=1000)] | None = None
    queries: Annotated[list[QuerySpec], Field(max_length=MOST_QUERIES)] = []  # noqa: RUF012  pydantic copies it

    @property
    def share(self) -> Share:
        """How many devices of a wave may fail."""
        if isinstance(self.failures, int):
            return Share(count=self.failures)
        return Share(percent=float(self.failures.removesuffix("%")))


class StrategySpec(Strict):
    """How a rollout goes over its devices."""

    waves: Annotated[list[WaveSpec], Field(max_length=MOST_WAVES)] = []  # noqa: RUF012  pydantic copies it
    begins_at: Annotated[AwareDatetime, Field(strict=False)] | None = None
    at_once: Annotated[int, Field(ge=1, le=MOST_DEVICES)] = MOST_DEVICES
    per_minute: Annotated[int, Field(ge=1, le=60 * MOST_DEVICES)] = 60 * MOST_DEVICES
    bake_seconds: Annotated[float, Field(strict=False, ge=0, le=31 * 86400)] = 60.0
    deadline_seconds: Annotated[float, Field(strict=False, gt=0, le=31 * 86400)] = 3600.0
    away_seconds: Annotated[float, Field(strict=False, gt=0, le=31 * 86400)] = AWAY_S
    gates: GatesSpec = GatesSpec()
    on_failure: Literal["abort", "pause"] = "abort"

    def rules(self, waves: int) -> Rules:
        """Return the rules of a rollout with so many waves."""
        return Rules(
            waves=waves,
            begins_at=self.begins_at.astimezone(UTC) if self.begins_at is not None else None,
            at_once=self.at_once,
            per_minute=self.per_minute,
            bake_s=self.bake_seconds,
            deadline_s=self.deadline_seconds,
            away_s=self.away_seconds,
            failures=self.gates.share,
            restarts=self.gates.restarts,
            on_failure=self.on_failure,
            queries=tuple(QueryGate(**query.model_dump()) for query in self.gates.queries),
            approvals=tuple(
                number for number, wave in enumerate(self.waves) if wave.approval and number < waves
            ),
        )

    def unknown(self, devices: Sequence[str]) -> list[tuple[int, int, str]]:
        """Return the named devices that the rollout does not reach: wave, place and name of each."""
        known = set(devices)
        return [
            (number, place, device)
            for number, wave in enumerate(self.waves)
            for place, device in enumerate(wave.devices or ())
            if device not in known
        ]

    def divide(self, devices: Sequence[str], fleet: Sequence[DeviceFacts] = ()) -> list[list[str]]:
        """Return the devices of each wave; those that no wave asked for are a last one.

        They come in the order of ``devices``, those that a wave names or describes in the first such wave. A
        wave that others left nothing is empty, so that the numbers stay those of the manifest.
        """
        reachable, chosen, claimed = set(devices), list[list[str] | None](), set[str]()
        for wave in self.waves:
            some = wave.devices if wave.where is None else matching(wave.where, fleet)
            own = [one for one in dict.fromkeys(some or ()) if one not in claimed and one in reachable]
            chosen.append(own if some is not None else None)
            claimed.update(own)
        others = [device for device in devices if device not in claimed]
        waves, reached = list[list[str]](), 0
        for wave, described in zip(self.waves, chosen, strict=True):
            more = wave.count or max(0, math.ceil(len(devices) * (wave.percent or 0) / 100) - reached)
            taken = others[:more] if described is None else described
            others = others[len(taken) :] if described is None else others
            reached += len(taken)
            waves.append(taken)
        return [*waves, others] if others else waves
