"""How a module lives, as a manifest says it: `contract.lifecycle` with its rules."""

import re
from datetime import UTC, datetime
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from cloud_hub.rollouts.fields import Name, Strict, matches
from contract.lifecycle import Lifecycle, Probe, Restart, Update, Window


def _cron(value: str) -> str:
    try:
        next(CronSim(value, datetime.now(UTC)), None)
    except CronSimError as error:
        raise ValueError(
            f"must be five fields: minute, hour, day of month, month, day of week ({error})"
        ) from error
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("must be a time zone that the hub knows, such as Europe/Paris") from error
    return value


UrlPath = Annotated[str, matches(re.compile(r"/[!-~]{0,499}"), "a path that begins with '/'")]
File = Annotated[str, matches(re.compile(r"[\w-][\w.-]{0,99}", re.ASCII), "the name of a file, without '/'")]
Argument = Annotated[str, matches(re.compile(r"[^\0]{0,4096}"), "at most 4096 characters, none of them NUL")]


class ProbeSpec(Strict):
    """How a module is asked how it is: over its socket, by a file in /run/headland, or by a program."""

    http: UrlPath | None = None
    file: File | None = None
    exec: Annotated[list[Argument], Field(min_length=1, max_length=100)] | None = None
    period_seconds: Annotated[float, Field(strict=False, ge=1, le=3600)] = 10.0
    timeout_seconds: Annotated[float, Field(strict=False, gt=0, le=60)] = 5.0
    failures: Annotated[int, Field(ge=1, le=100)] = 3

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(way is not None for way in (self.http, self.file, self.exec)) != 1:
            raise ValueError("needs one of http, file and exec")
        if self.exec is not None and not self.exec[0]:
            raise ValueError("exec begins with a program")
        return self

    def probe(self) -> Probe:
        """Return what the device is told."""
        return Probe(
            http=self.http or "",
            file=self.file or "",
            exec=tuple(self.exec or ()),
            period_s=self.period_seconds,
            timeout_s=self.timeout_seconds,
            failures=self.failures,
        )


class WindowSpec(Strict):
    """When a module may be changed."""

    cron: Annotated[str, AfterValidator(_cron)]
    duration_seconds: Annotated[float, Field(strict=False, ge=60, le=86400)]
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"

    def window(self) -> Window:
        """Return what the device is told."""
        return Window(cron=self.cron, duration_s=self.duration_seconds, time_zone=self.time_zone)


class LifecycleSpec(Strict):
    """How one module lives."""

    depends_on: Annotated[list[Name], Field(max_length=100)] = []  # noqa: RUF012  pydantic copies it
    restart: Restart = "always"
    readiness: ProbeSpec | None = None
    liveness: ProbeSpec | None = None
    update: Update = "hand-over"
    windows: Annotated[list[WindowSpec], Field(max_length=20)] = []  # noqa: RUF012
    longest_deferral_seconds: Annotated[float, Field(strict=False, ge=0, le=2678400)] = 0.0

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.readiness is not None and self.readiness.http is not None and self.update == "hand-over":
            raise ValueError(
                "readiness over http needs 'update: stop-first': in a hand-over two serve one socket"
            )
        return self

    def life(self) -> Lifecycle:
        """Return what the device is told."""
        return Lifecycle(
            depends_on=tuple(self.depends_on),
            restart=self.restart,
            readiness=self.readiness.probe() if self.readiness else None,
            liveness=self.liveness.probe() if self.liveness else None,
            update=self.update,
            windows=tuple(one.window() for one in self.windows),
            longest_deferral_s=self.longest_deferral_seconds,
        )


def wrong_dependency(depends_on: dict[str, list[str]]) -> tuple[str, str] | None:
    """Return the first module whose dependencies cannot be, and why; None where all can."""
    for name, needed in depends_on.items():
        missing = next((one for one in needed if one not in depends_on), None)
        if missing is not None:
            return name, f"there is no module {missing} in this manifest"
    for name, needed in depends_on.items():
        waiting, seen = list(needed), set[str]()
        while waiting:
            one = waiting.pop()
            if one == name:
                return name, "it would wait for itself"
            if one not in seen:
                seen.add(one)
                waiting += depends_on[one]
    return None
