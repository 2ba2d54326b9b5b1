"""Rollout manifests, ``apiVersion: headland/v1``: the schema, and what a document says by it.

Strict: an unknown key is refused, and every fault is reported at once with its line.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from cloud_hub.errors import ManifestError
from cloud_hub.rollouts.yaml_source import Source, read_yaml
from contract.ids import DEVICE_ID, DIGEST, NAME

QUANTITY = re.compile(r"(\d+)(Ki|Mi|Gi)?")
FACTOR = {None: 1, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
MAX_DEVICES = 10_000


def _matches(rule: re.Pattern[str], words: str) -> AfterValidator:
    def check(value: str) -> str:
        if not rule.fullmatch(value):
            raise ValueError(f"must be {words}")
        return value

    return AfterValidator(check)


def _bytes(value: object) -> int:
    match = QUANTITY.fullmatch(str(value)) if isinstance(value, (int, str)) else None
    if match is None:
        raise ValueError("must be a number of bytes, or a number with Ki, Mi or Gi, such as 256Mi")
    return int(match[1]) * FACTOR[match[2]]


Name = Annotated[str, _matches(NAME, "1 to 63 of a-z, 0-9 and '-', not starting or ending with '-'")]
DeviceId = Annotated[str, _matches(DEVICE_ID, "1 to 63 of a-z, 0-9 and '-', not starting with '-'")]
ImageName = Annotated[
    str,
    _matches(
        re.compile(rf"{NAME.pattern}:[1-9]\d{{0,8}}(@{DIGEST.pattern})?"),
        "name:version, such as digits:1, or name:version@sha256:...",
    ),
]
EnvName = Annotated[
    str, _matches(re.compile(r"(?!HEADLAND_|LISTEN_)[A-Za-z_][A-Za-z0-9_]*"), "a name not used by Headland")
]

EnvValue = Annotated[
    str, _matches(re.compile(r"[^\0]{0,32768}"), "at most 32768 characters, none of them NUL")
]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, validate_by_name=False
    )


class LimitsSpec(_Strict):
    """What a module may use at most."""

    memory: Annotated[int, BeforeValidator(_bytes), Field(ge=16 * 1024**2)] = 256 * 1024**2
    cpus: Annotated[float, Field(strict=False, gt=0, le=1024)] = 1.0
    pids: Annotated[int, Field(ge=1, le=32768)] = 64


class ModuleSpec(_Strict):
    """One module of the rollout."""

    image: ImageName
    env: dict[EnvName, EnvValue] = {}
    limits: LimitsSpec = LimitsSpec()
    ready_timeout_seconds: Annotated[float, Field(strict=False, gt=0, le=3600)] = 60.0
    stop_grace_seconds: Annotated[float, Field(strict=False, gt=0, le=3600)] = 10.0


class Target(_Strict):
    """Which devices get it."""

    devices: Annotated[list[DeviceId], Field(min_length=1, max_length=MAX_DEVICES)]


class Spec(_Strict):
    """What to run where."""

    target: Target
    modules: Annotated[dict[Name, ModuleSpec], Field(min_length=1, max_length=100)]


class Metadata(_Strict):
    """The rollout's name."""

    name: Name


class Manifest(_Strict):
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
