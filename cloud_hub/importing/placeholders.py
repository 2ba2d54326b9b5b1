"""Placeholders of templates: filled in from what is given, else told. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cloud_hub.importing.imported import Ledger
from cloud_hub.importing.secret_values import is_guarded
from cloud_hub.importing.spots import Spot

BRACED = r"\$\{(?P<braced>[^{}$]+)\}"
TEMPLATE = re.compile(BRACED + r"|\$(?P<bare>[A-Z_][A-Za-z0-9_]*)")
"""In IoT Edge's: ``${NAME}`` and ``$NAME``."""
RECIPE = re.compile(
    r"\{(?P<braced>(?:[\w.-]+:)?(?:configuration|artifacts|kernel|work|iot):[^{}\s]*)\}", re.ASCII
)
"""In Greengrass's recipes: ``{artifacts:path}``, ``{configuration:/key}`` and their like."""
BARE = ("MODULE", "CONTAINER_REGISTRY")
"""A bare ``$NAME`` may be meant for a shell; one that begins like this is a template's in any file."""


@dataclass
class Placeholders:
    """What is filled in where ``rule`` finds a name; ``template`` says whether every bare name is one."""

    rule: re.Pattern[str]
    values: Mapping[str, str] = field(default_factory=dict)
    template: bool = False

    def fill(self, text: str) -> tuple[str, list[str]]:
        """Return the text with all that is known filled in, and the names that are not."""
        missing: list[str] = []

        def one(match: re.Match[str]) -> str:
            name = next(group for group in match.groups() if group is not None)
            if name in self.values:
                return self.values[name]
            bare = match.groupdict().get("bare")
            if bare is None or self.template or bare.startswith(BARE):
                missing.append(name)
            return match[0]

        return self.rule.sub(one, text), missing

    def fill_all(self, spot: Spot, ledger: Ledger) -> Spot | None:
        """Return a spot with every text filled in; what lacks a value is listed, and not in it."""
        if isinstance(spot.value, dict):
            inner = {key: self.fill_all(one, ledger) for key, one in spot.items()}
            return Spot(spot.path, {key: one for key, one in inner.items() if one is not None})
        if isinstance(spot.value, list):
            parts = [self.fill_all(one, ledger) for one in spot.parts()]
            return Spot(spot.path, [one for one in parts if one is not None])
        if spot.text is None:
            return spot
        text, missing = self.fill(spot.text)
        if not missing:
            return Spot(spot.path, text)
        tell_missing(ledger, spot, missing)
        return None


def tell_missing(ledger: Ledger, spot: Spot, names: list[str]) -> None:
    """List a value that lacks what stands for some names."""
    known = "see the file" if is_guarded(spot) else ", ".join(dict.fromkeys(names))
    what = str(spot.path[-1]) if spot.path else "the document"
    ledger.leave(
        spot,
        what,
        f"it has a placeholder without a value: {known}",
        "give it by --set NAME=VALUE; for one that is meant as it stands, the placeholder itself as value",
    )


def unused(values: Iterable[str], rule: re.Pattern[str], *roots: Spot) -> list[str]:
    """Return the names of which no text has a placeholder."""
    asked = {
        name
        for root in roots
        for leaf in root.leaves()
        for match in rule.finditer(leaf.text or "")
        for name in match.groups()
    }
    return sorted(set(values) - asked)
