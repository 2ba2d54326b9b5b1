"""`Sources`: pip chooses for a target, and what it finds as source only is built on the way."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from cloud_hub.images.build.errors import SourceBuildRefusedError, WheelDownloadError
from cloud_hub.images.build.lock import LockedWheel
from cloud_hub.images.build.pip_for_target import FOUND, TOLD
from cloud_hub.images.build.pip_run import Pip, reason_in
from cloud_hub.images.build.ports import Wheel
from cloud_hub.images.build.requirements import logical_lines, name_of, without_hashes
from cloud_hub.images.build.sources.build import Archive, SourceBuilder
from cloud_hub.images.build.sources.built_wheel import require_fit
from contract.encoding import decode

MOST: Final = 32


class _Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    filename: str
    digest: str


class Sources:
    """Wheels built from source for one target; works in ``folder``, and ``built`` are those so far."""

    def __init__(self, builder: SourceBuilder, pip: Pip, folder: Path) -> None:
        self._builder, self._pip = builder, pip
        self._found, self._wheelhouse = folder / "found", folder / "built"
        self._wheelhouse.mkdir()
        self.built: dict[str, Wheel] = {}

    def run(self, verb: str, arguments: Sequence[str], *, pinned: Path | None = None) -> tuple[int, str]:
        """Run pip until it ends with wheels alone, or an error; return its exit code and what it said.

        In the list ``pinned``, which has hashes, that of a wheel takes the place of its source's. Raises
        what `SourceBuilder.build` raises.
        """
        for _ in range(MOST):
            shutil.rmtree(self._found, ignore_errors=True)
            self._found.mkdir()
            offered = [*arguments, "--find-links", str(self._wheelhouse)]
            code, stderr = self._pip.run(verb, offered, sources=self._found)
            if code != FOUND:
                return code, stderr
            wheel = self._build(self._archive())
            if pinned is not None:
                pinned.write_text(_with_hash(pinned.read_text(), wheel))
        raise SourceBuildRefusedError(
            f"more than {MOST} source archives were built for one image",
            where=", ".join(sorted(one.filename for one in self.built.values()))[:200],
            fix="Ask for fewer packages without wheels, or for exact versions.",
        )

    def again(self, locked: LockedWheel) -> None:
        """Build a wheel of a lock once more; raises `SourceBuildRefusedError` if it is not the same."""
        if locked.source is None:
            return
        shutil.rmtree(self._found, ignore_errors=True)
        self._found.mkdir()
        lines = self._found / "source.txt"
        lines.write_text(f"{locked.name}=={locked.version} --hash={locked.source.digest}\n")
        arguments = ["--no-deps", "--require-hashes", "-r", str(lines), "-d", str(self._found)]
        code, stderr = self._pip.run("download", arguments, sources=self._found)
        if code != FOUND:
            raise WheelDownloadError(
                f"the source that the lock names could not be fetched: {reason_in(stderr)}",
                where=locked.source.filename,
                fix="Look at the network and pip's configuration, then build again.",
            )
        wheel = self._builder.build(self._archive(), locked.source.requirements)
        if (wheel.digest, wheel.filename) != (locked.digest, locked.filename):
            raise SourceBuildRefusedError(
                "built again it is another wheel than the one in the lock: this machine has another Python, "
                "compiler or system library",
                where=f"{locked.filename}, {wheel.digest}",
                fix="Build on a hub like the first, or without --lock.",
            )
        self._offer(wheel)

    def _archive(self) -> Archive:
        told = decode((self._found / TOLD).read_bytes(), _Found, what="found source")
        return Archive(told.name, told.filename, told.digest, self._found / "archive")

    def _build(self, archive: Archive) -> Wheel:
        wheel = self._builder.build(archive)
        if wheel.digest in self.built:
            raise SourceBuildRefusedError(
                f"pip does not take the wheel that was built of it ({wheel.filename})",
                where=archive.filename,
                fix="Is it for this version of Python? Take another version.",
            )
        require_fit(wheel.filename, archive.package(), self._pip.target)
        self._offer(wheel)
        return wheel

    def _offer(self, wheel: Wheel) -> None:
        self.built[wheel.digest] = wheel
        place = self._wheelhouse / wheel.filename
        place.unlink(missing_ok=True)
        os.link(wheel.path, place)


def _with_hash(text: str, wheel: Wheel) -> str:
    """Return pinned lines where the one of a wheel's package has the wheel's hash alone."""
    name = wheel.filename.partition("-")[0].replace("_", "-").lower()
    return "".join(
        f"{without_hashes(line)} --hash={wheel.digest}\n" if name_of(line) == name else f"{line}\n"
        for line in logical_lines(text)
    )
