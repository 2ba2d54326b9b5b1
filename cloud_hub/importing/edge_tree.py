"""Layered deployments of IoT Edge: keys such as ``properties.desired.modules.camera`` as a tree. Pure."""

from cloud_hub.importing.imported import Ledger
from cloud_hub.importing.spots import Spot

DOTTED = "properties."
MOST_PARTS = 32


def undotted(spot: Spot | None, ledger: Ledger) -> Spot:
    """Return a twin whose dotted keys are levels of their own; each value keeps its path in the file.

    What two keys say is listed where it stands the second time.
    """
    tree: dict[str, Spot] = {}
    for key, value in spot.items() if spot is not None else ():
        keys = key.split(".", MOST_PARTS) if key.startswith(DOTTED) else [key]
        inner = value
        for name in reversed(keys[1:]):
            inner = Spot(value.path, {name: inner})
        _merge(tree, keys[0], inner, ledger)
    return Spot(spot.path if spot is not None else (), tree)


def _merge(tree: dict[str, Spot], key: str, new: Spot, ledger: Ledger) -> None:
    old = tree.get(key)
    if old is None:
        tree[key] = new
    elif isinstance(old.value, dict) and isinstance(new.value, dict):
        merged = dict(old.value)
        for name, inner in new.items():
            _merge(merged, name, inner, ledger)
        tree[key] = Spot(old.path, merged)
    else:
        for leaf in new.leaves():
            ledger.leave(leaf, key, "another key of the file says the same", "keep one of them")
