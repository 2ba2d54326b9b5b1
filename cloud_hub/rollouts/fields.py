"""What the schemas of a manifest share: names, and strictness."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from contract.ids import DEVICE_ID, NAME


def matches(rule: re.Pattern[str], words: str) -> AfterValidator:
    """Refuse a text that ``rule`` does not match whole; ``words`` say what it must be."""

    def check(value: str) -> str:
        if not rule.fullmatch(value):
            raise ValueError(f"must be {words}")
        return value

    return AfterValidator(check)


Name = Annotated[str, matches(NAME, "1 to 63 of a-z, 0-9 and '-', not starting or ending with '-'")]
DeviceId = Annotated[str, matches(DEVICE_ID, "1 to 63 of a-z, 0-9 and '-', not starting with '-'")]


class Strict(BaseModel):
    """A part of a manifest: an unknown key is refused, and nothing is turned into something else."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, validate_by_name=False
    )
