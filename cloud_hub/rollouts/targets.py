"""Which devices a rollout is for, as a manifest says it: by name, or by what they are. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cloud_hub.rollouts.fields import DeviceId, Strict, matches
from contract.ids import TAG_NAME, TAG_NAME_WORDS, TAG_VALUE, TAG_VALUE_WORDS

MOST_DEVICES = 10_000
MOST_CONDITIONS = 20

TagName = Annotated[str, matches(TAG_NAME, TAG_NAME_WORDS)]
TagValue = Annotated[str, matches(TAG_VALUE, TAG_VALUE_WORDS)]


@dataclass(frozen=True)
class DeviceFacts:
    """What is known of a device: its tags, and what it said of itself (None: nothing yet).

    Of one that is not ``usable``, revoked, no condition holds.
    """

    device: str
    tags: Mapping[str, str]
    driver: str | None
    agent_version: str | None
    usable: bool = True


class Condition(Strict):
    """Something that holds of a device or does not."""

    tag: TagName | None = None
    field: Literal["driver", "agentVersion"] | None = None
    values: Annotated[list[TagValue], Field(min_length=1, max_length=1000)] | None = None
    not_: Annotated[bool, Field(alias="not")] = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.tag is None) == (self.field is None):
            raise ValueError("must have one of tag and field")
        if self.field is not None and self.values is None:
            raise ValueError("a field needs values")
        return self

    def holds(self, facts: DeviceFacts) -> bool:
        """Does a device have the tag or field, with one of the values where there are some?"""
        own = {"driver": facts.driver, "agentVersion": facts.agent_version}
        value = facts.tags.get(self.tag) if self.tag is not None else own[self.field or "driver"]
        found = value is not None and (self.values is None or value in self.values)
        return found != self.not_


Conditions = Annotated[list[Condition], Field(min_length=1, max_length=MOST_CONDITIONS)]
Devices = Annotated[list[DeviceId], Field(min_length=1, max_length=MOST_DEVICES)]


class Target(Strict):
    """Which devices get it: those by name, and all of which every condition holds, without some."""

    devices: Devices | None = None
    where: Conditions | None = None
    except_: Annotated[list[DeviceId], Field(alias="except", max_length=MOST_DEVICES)] = []  # noqa: RUF012

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.devices is None and self.where is None:
            raise ValueError("must have devices, or where")
        return self

    def reached(self, fleet: Iterable[DeviceFacts]) -> list[str]:
        """Return the devices: those by name in their order, then the others by name."""
        without, named = set(self.except_), list(self.devices or ())
        others = matching(self.where, fleet) if self.where is not None else []
        return [device for device in dict.fromkeys([*named, *others]) if device not in without]


def matching(conditions: Sequence[Condition], fleet: Iterable[DeviceFacts]) -> list[str]:
    """Return the devices of which every condition holds, by name."""
    return sorted(
        facts.device for facts in fleet if facts.usable and all(one.holds(facts) for one in conditions)
    )
