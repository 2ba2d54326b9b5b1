"""Values of a component's configuration, which its scripts name as ``{configuration:/key}``. Pure."""

from dataclasses import dataclass

from cloud_hub.importing.imported import Ledger
from cloud_hub.importing.placeholders import RECIPE
from cloud_hub.importing.secret_values import KEPT_BACK, keep_back, looks_secret
from cloud_hub.importing.spots import Spot

MARK = "configuration:"


@dataclass
class Configuration:
    """What a recipe says, what a deployment puts over it, and where each is noted."""

    default: Spot | None
    ledger: Ledger
    merged: Spot | None = None
    merged_ledger: Ledger | None = None

    def values(self, text: str) -> dict[str, str]:
        """Return what stands for the names of the configuration in a text; secrets are kept back."""
        found = {}
        for name in _names(text):
            spot = self._over(name) or self._under(name)
            if spot is not None and isinstance(spot.value, str | int | float):
                said = "true" if spot.value is True else "false" if spot.value is False else str(spot.value)
                found[name] = KEPT_BACK if looks_secret(name, said) else said
        return found

    def note(self, text: str) -> None:
        """Note what a text that was carried over took from the configuration."""
        for name in _names(text):
            over, under = self._over(name), self._under(name)
            for spot, ledger in ((over, self.merged_ledger), (under, self.ledger)):
                if spot is None or ledger is None:
                    continue
                if looks_secret(name, spot.value):
                    keep_back(ledger, spot, name)
                elif spot is under and over is not None:
                    why = "the deployment has another value for it"
                    ledger.leave(spot, "a value of the configuration", why, "nothing")
                else:
                    ledger.carry(spot)

    def _over(self, name: str) -> Spot | None:
        return _at(self.merged, name)

    def _under(self, name: str) -> Spot | None:
        return _at(self.default, name)


def _names(text: str) -> list[str]:
    """Return the names in a text that stand for values of the component's own configuration."""
    found = (match["braced"] for match in RECIPE.finditer(text))
    return [name for name in found if name.startswith(MARK)]


def _at(root: Spot | None, name: str) -> Spot | None:
    """Return the value at ``configuration:/a/b``, if there is one that is no mapping."""
    keys = [part.replace("~1", "/").replace("~0", "~") for part in name.removeprefix(MARK).split("/")[1:]]
    found = root.get(*keys) if root is not None and keys else None
    return None if found is None or isinstance(found.value, dict | list) else found
