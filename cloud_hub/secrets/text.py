"""A secret's value as the program carries it: nothing that prints, logs or serialises shows it."""

import hmac
from typing import NoReturn

HIDDEN = "SecretText(hidden)"


class SecretText:
    """Text that only `reveal` gives out. JSON, pickles and dataclass dumps of it are refused or hidden."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the value: call it where the value is used, and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretText):
            return NotImplemented
        mine, others = (text.encode("utf-8", "surrogatepass") for text in (self._text, other._text))
        return hmac.compare_digest(mine, others)

    def __hash__(self) -> int:
        return hash((SecretText, self._text))

    def __copy__(self) -> "SecretText":
        return self

    def __deepcopy__(self, memo: object) -> "SecretText":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
