"""How a rollout goes over its devices, as a manifest says it, and which device is in which wave. Pure."""

import math
import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cloud_hub.rollouts.fields import DeviceId, Strict
from cloud_hub.rollouts.waves import Rules, Share

MOST_WAVES = 50
MOST_DEVICES = 10_000
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
    """Which devices come next: so many more, up to a share of all, or by name."""

    count: Annotated[int, Field(ge=1, le=MOST_DEVICES)] | None = None
    percent: Annotated[float, Field(strict=False, gt=0, le=100)] | None = None
    devices: Annotated[list[DeviceId], Field(min_length=1, max_length=MOST_DEVICES)] | None = None
    approval: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(said is not None for said in (self.count, self.percent, self.devices)) != 1:
            raise ValueError("must have one of count, percent and devices")
        return self


class GatesSpec(Strict):
    """What a wave has to pass."""

    failures: Annotated[int | str, BeforeValidator(_is_share)] = 0

    @property
    def share(self) -> Share:
        """How many devices of a wave may fail."""
        if isinstance(self.failures, int):
            return Share(count=self.failures)
        return Share(percent=float(self.failures.removesuffix("%")))


class StrategySpec(Strict):
    """How a rollout goes over its devices."""

    waves: Annotated[list[WaveSpec], Field(max_length=MOST_WAVES)] = []  # noqa: RUF012  pydantic copies it
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
            at_once=self.at_once,
            per_minute=self.per_minute,
            bake_s=self.bake_seconds,
            deadline_s=self.deadline_seconds,
            away_s=self.away_seconds,
            failures=self.gates.share,
            on_failure=self.on_failure,
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

    def divide(self, devices: Sequence[str]) -> list[list[str]]:
        """Return the devices of each wave; those that no wave asked for are a last one.

        They come in the order of the manifest, those that a wave names in that wave. A wave that others left
        nothing is empty, so that the numbers stay those of the manifest.
        """
        named = {device for wave in self.waves for device in wave.devices or ()}
        others = [device for device in devices if device not in named]
        waves, taken, reached = list[list[str]](), set[str](), 0
        for wave in self.waves:
            if wave.devices is not None:
                some = [device for device in dict.fromkeys(wave.devices) if device not in taken]
            elif wave.count is not None:
                some = others[: wave.count]
            else:
                some = others[: max(0, math.ceil(len(devices) * (wave.percent or 0) / 100) - reached)]
            taken.update(some)
            reached += len(some)
            others = [device for device in others if device not in taken]
            waves.append(some)
        return [*waves, others] if others else waves
