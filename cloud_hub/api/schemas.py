"""What the schemas of all domains share."""

import re
from typing import Final

from pydantic import BaseModel, ConfigDict, model_validator

HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


class Answer(BaseModel):
    """A body that the hub sends, read off a row."""

    model_config = ConfigDict(from_attributes=True)


class Ask(BaseModel):
    """A body that a client sends; an unknown field is refused, and so is a text that cannot be kept."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _can_be_kept(cls, value: object) -> object:
        if has_bad_text(value):
            raise ValueError("a text holds a zero byte or half of a surrogate pair")
        return value


def has_bad_text(value: object) -> bool:
    """Does a key or text in a value of JSON hold what no database keeps and no answer can tell?

    PostgreSQL holds no zero byte in a text, and half a surrogate pair has no UTF-8.
    """
    # A loop: JSON may be as deep as Python's own parser could just bear.
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str) and ("\0" in each or HALF_PAIR.search(each)):
            return True
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            waiting += each
    return False
