"""``WWW-Authenticate``: what a registry wants to see (RFC 9110, section 11.6.1). Pure."""

import re
from dataclasses import dataclass, field
from typing import Final

MAX_LETTERS: Final = 4096
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  the grammar's word for a word
_PARAMETER: Final = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*,?\s*')
_SCHEME: Final = re.compile(rf"({_TOKEN})(?:\s+|\s*,\s*|$)(?!\s*=)")


@dataclass(frozen=True)
class Challenge:
    """One way to log in: its scheme in lower case, and its parameters with lower-case names."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """Return a parameter, or nothing."""
        return self.parameters.get(name, "")


def challenges_of(values: list[str]) -> list[Challenge]:
    """Return the challenges of all values, as far as they can be read; of parameters the first counts."""
    found: list[Challenge] = []
    for value in values:
        text, at = value[:MAX_LETTERS], 0
        while scheme := _SCHEME.match(text, at):
            at, parameters = scheme.end(), dict[str, str]()
            while parameter := _PARAMETER.match(text, at):
                name, quoted, plain = parameter.groups()
                parameters.setdefault(
                    name.lower(), re.sub(r"\\(.)", r"\1", quoted) if plain is None else plain
                )
                at = parameter.end()
            found.append(Challenge(scheme[1].lower(), parameters))
    return found
