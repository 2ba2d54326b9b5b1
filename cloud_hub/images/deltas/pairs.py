"""Which layers of a new image deltas are made for, and against which old ones. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from cloud_hub.images.platforms import ImageLayer, ImagePlatform


@dataclass(frozen=True)
class Pair:
    """A new layer, the old one of the same title, and the new image's manifest."""

    manifest: str
    old: ImageLayer
    new: ImageLayer


def pairs_of(new: Sequence[ImagePlatform], earlier: Sequence[Sequence[ImagePlatform]]) -> list[Pair]:
    """Return the pairs of a new version and earlier ones, the nearest first; each old layer once.

    A layer that any of them has too is none: the nearest version says what a device has.
    """
    found: dict[tuple[str, str, str], Pair] = {}
    for platform in new:
        for version in earlier:
            old = next((one for one in version if one.platform and one.platform == platform.platform), None)
            if old is None:
                continue
            here = {layer.diff_id for layer in old.layers}
            titles = {layer.title: layer for layer in old.layers}
            for layer in platform.layers:
                before = titles.get(layer.title)
                if layer.diff_id not in here and before is not None:
                    key = (platform.digest, before.diff_id, layer.diff_id)
                    found.setdefault(key, Pair(platform.digest, before, layer))
    return list(found.values())
