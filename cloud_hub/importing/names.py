"""Names of other platforms as names of Headland, each once, and images as those of a workspace. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud_hub.oci_client.errors import InvalidReferenceError
from cloud_hub.oci_client.references import Reference, parse_reference
from contract.ids import NAME

CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
OTHER = re.compile(r"[^a-z0-9]+")
MOST = 63
IMAGES = "images are those of a workspace, by name and version"
FIRST = "copy and register it before the rollout is applied: the commands are told under `first`"
NAMED = "names of modules are a-z, 0-9 and '-'"


def name_of(text: str, otherwise: str) -> str:
    """Return the nearest name that is allowed: ``imageFilter`` is ``image-filter``."""
    name = OTHER.sub("-", CAMEL.sub("-", text).lower()).strip("-")[:MOST].strip("-")
    return name if NAME.fullmatch(name) else otherwise


def read_reference(text: str) -> Reference | None:
    """Return the image that a text names, if it names one."""
    try:
        return parse_reference(text)
    except InvalidReferenceError:
        return None


class Names:
    """Names of which none is given twice."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, text: str, otherwise: str) -> str:
        """Return a name near to ``text`` that was not given before."""
        first = name_of(text, otherwise)
        name, number = first, 1
        while name in self._given:
            number += 1
            ending = f"-{number}"
            name = f"{first[: MOST - len(ending)].rstrip('-')}{ending}"
        self._given.add(name)
        return name


@dataclass
class Images:
    """Which image of the workspace stands for which image elsewhere.

    ``chosen`` is what a person said: the text of a reference, and ``name:version``. Others get the last part
    of their path as a name, and versions in the order in which they come up.
    """

    chosen: Mapping[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    _names: Names = field(default_factory=Names)
    _of_path: dict[str, str] = field(default_factory=dict)
    _versions: dict[str, list[Reference]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What a person chose is theirs: no other image is given its name.
        for image in self.chosen.values():
            self._names.give(image.partition(":")[0], "image")

    def give(self, text: str, reference: Reference) -> str:
        """Return the ``name:version`` for an image that is written as ``text``."""
        if text in self.chosen:
            self.used.add(text)
            return self.chosen[text]
        path = f"{reference.registry}/{reference.path}"
        if path not in self._of_path:
            self._of_path[path] = self._names.give(reference.path.rpartition("/")[2], "image")
        name = self._of_path[path]
        versions = self._versions.setdefault(name, [])
        if reference not in versions:
            versions.append(reference)
        # No digest: a copy in another format has another one, and a version keeps its own anyway.
        return f"{name}:{versions.index(reference) + 1}"

    def first(self) -> list[str]:
        """Return the commands that bring the images into the workspace."""
        lines = []
        for name, versions in self._versions.items():
            for number, reference in enumerate(versions, 1):
                # skopeo takes no reference with a tag and a digest; the digest says more.
                bare = f"{reference.registry}/{reference.path}"
                source = f"{bare}@{reference.digest}" if reference.digest else f"{bare}:{reference.tag}"
                tag = reference.tag or f"imported-{number}"
                lines += [
                    f"skopeo copy --all --format oci docker://{source} docker://HUB/WORKSPACE/{name}:{tag}",
                    f"headland image register {name} --from {tag}   # must answer {name}:{number}",
                ]
        return lines
