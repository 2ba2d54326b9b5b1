"""Rollout manifests, ``apiVersion: headland/v1``: the schema, and what a document says by it.

Strict: an unknown key is refused, and every fault is reported at once with its line.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from cloud_hub.errors import ManifestError
from cloud_hub.rollouts.access import AccessSpec, port_given_twice
from cloud_hub.rollouts.fields import Name, Strict, matches
from cloud_hub.rollouts.lifecycle import Argument, LifecycleSpec, wrong_dependency
from cloud_hub.rollouts.secret_refs import MOST_OF_A_MODULE, FileName, SecretName
from cloud_hub.rollouts.strategy import StrategySpec
from cloud_hub.rollouts.targets import Target
from cloud_hub.rollouts.yaml_source import Source, read_yaml
from contract.ids import DIGEST, NAME

QUANTITY = re.compile(r"(\d+)(Ki|Mi|Gi)?")
FACTOR = {None: 1, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


def _bytes(value: object) -> int:
    match = QUANTITY.fullmatch(str(value)) if isinstance(value, (int, str)) else None
    if match is None:
        raise ValueError("must be a number of bytes, or a number with Ki, Mi or Gi, such as 256Mi")
    return int(match[1]) * FACTOR[match[2]]


ImageName = Annotated[
    str,
    matches(
        re.compile(rf"{NAME.pattern}:[1-9]\d{{0,8}}(@{DIGEST.pattern})?"),
        "name:version, such as digits:1, or name:version@sha256:...",
    ),
]
EnvName = Annotated[
    str, matches(re.compile(r"(?!HEADLAND_|LISTEN_)[A-Za-z_][A-Za-z0-9_]*"), "a name not used by Headland")
]

EnvValue = Annotated[
    str, matches(re.compile(r"[^\0]{0,32768}"), "at most 32768 characters, none of them NUL")
]


class LimitsSpec(Strict):
    """What a module may use at most."""

    memory: Annotated[int, BeforeValidator(_bytes), Field(ge=16 * 1024**2)] = 256 * 1024**2
    cpus: Annotated[float, Field(strict=False, gt=0, le=1024)] = 1.0
    pids: Annotated[int, Field(ge=1, le=32768)] = 64


class ModuleSpec(Strict):
    """One module of the rollout."""

    image: ImageName
    env: dict[EnvName, EnvValue] = {}  # noqa: RUF012  pydantic copies it
    limits: LimitsSpec = LimitsSpec()
    ready_timeout_seconds: Annotated[float, Field(strict=False, gt=0, le=3600)] = 60.0
    stop_grace_seconds: Annotated[float, Field(strict=False, gt=0, le=3600)] = 10.0
    command: Annotated[list[Argument], Field(min_length=1, max_length=100)] | None = None
    lifecycle: LifecycleSpec = LifecycleSpec()
    secrets: Annotated[dict[FileName, SecretName], Field(max_length=MOST_OF_A_MODULE)] = {}  # noqa: RUF012
    access: AccessSpec = AccessSpec()


class Spec(Strict):
    """What to run where."""

    target: Target
    modules: Annotated[dict[Name, ModuleSpec], Field(min_length=1, max_length=100)]
    agent: ImageName | None = None
    strategy: StrategySpec | None = None

    @model_validator(mode="after")
    def _in_some_order(self) -> Self:
        wrong = wrong_dependency({name: one.lifecycle.depends_on for name, one in self.modules.items()})
        if wrong is not None:
            raise ValueError(f"lifecycle.dependsOn of module {wrong[0]}: {wrong[1]}")
        return self

    @model_validator(mode="after")
    def _each_port_once(self) -> Self:
        if twice := port_given_twice({name: one.access for name, one in self.modules.items()}):
            raise ValueError(twice)
        return self


class Metadata(Strict):
    """The rollout's name."""

    name: Name


class Manifest(Strict):
    """A rollout manifest."""

    api_version: Literal["headland/v1"]
    kind: Literal["Rollout"]
    metadata: Metadata
    spec: Spec


def read_manifest(text: str) -> tuple[Manifest, Source]:
    """Return the manifest and where its fields stand; raises `ManifestError` with every fault."""
    source = read_yaml(text)
    try:
        return Manifest.model_validate(source.value), source
    except ValidationError as error:
        problems = tuple(
            source.problem(_plain(fault["loc"]), _reason(fault["type"], fault["msg"]))
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise ManifestError(
            "the manifest is not valid", fix="See docs/rollouts.md for every key.", errors=problems
        ) from error


def _plain(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return tuple(part for part in location if part != "[key]")


def _reason(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "required, but not there"
    return message.removeprefix("Value error, ")
