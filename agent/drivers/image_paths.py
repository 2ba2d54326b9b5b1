"""Where the paths of an image are on a device that runs it without a root file system of its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.drivers.port import Mount

LINKS_MAX = 40  # as the kernel: more is a loop


def resolve_inside(root: Path, path: str) -> Path | None:
    """Return the place of the image's absolute ``path`` below ``root``, or None if it is not there.

    Symbolic links are followed as a process with that root would follow them: an absolute one
    starts at ``root`` again, and ``..`` never leaves it.
    """
    waiting = list(reversed(PurePosixPath(path).parts[1:]))
    reached: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            del reached[-1:]
            continue
        place = root.joinpath(*reached, part)
        if place.is_symlink():
            links += 1
            if links > LINKS_MAX:
                return None
            target = PurePosixPath(place.readlink())
            if target.is_absolute():
                reached = []
            waiting += reversed([part for part in target.parts if part != "/"])
        elif os.path.lexists(place):
            reached.append(part)
        else:
            return None
    return root.joinpath(*reached)


@dataclass(frozen=True)
class ImagePaths:
    """Turns the image's absolute paths into the device's own.

    A path below a mount's target becomes one below its source; another that exists in ``root``
    becomes the one there; all else stays.
    """

    root: Path
    mounts: tuple[Mount, ...]

    def of_device(self, path: str) -> str:
        """Return the device's path for one ``path``; what is not an absolute path stays."""
        if not path.startswith("/") or path.startswith("//") or path.strip("/") == "":
            return path
        asked = PurePosixPath(path)
        deepest_first = sorted(self.mounts, key=lambda mount: len(mount.target), reverse=True)
        for mount in deepest_first:
            if asked.is_relative_to(mount.target):
                return str(mount.source.joinpath(asked.relative_to(mount.target)))
        found = resolve_inside(self.root, path)
        if found is None:
            return path
        # The image's own name for it is kept where the device reads it the same way: programs
        # such as Python look around the place that they were called by.
        plain = self.root.joinpath(*asked.parts[1:])
        return str(plain if plain.resolve() == found.resolve() else found)

    def of_value(self, value: str) -> str:
        """Return a variable's value with each path between colons turned."""
        return ":".join(self.of_device(part) for part in value.split(":"))

    def of_arguments(self, arguments: Sequence[str]) -> list[str]:
        """Return arguments with each whole path turned."""
        return [self.of_device(argument) for argument in arguments]
