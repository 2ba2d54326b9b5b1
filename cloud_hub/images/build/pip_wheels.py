"""Wheels downloaded by pip, each pinned by hash, and kept so that later builds need no network."""

import importlib.util
import platform
import sysconfig
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Final

from cloud_hub.confinement.limits import SandboxLimits
from cloud_hub.images.build.errors import (
    BuildError,
    RequirementsRefusedError,
    SourceBuildRefusedError,
    WheelDownloadError,
)
from cloud_hub.images.build.layer_tar import digest_of
from cloud_hub.images.build.lock import Lock, LockedWheel, pins, platforms_in
from cloud_hub.images.build.options import own_platform
from cloud_hub.images.build.pip_run import Pip, reason_in
from cloud_hub.images.build.ports import Wheel
from cloud_hub.images.build.requirements import Wanted, logical_lines, name_of
from cloud_hub.images.build.resolve import resolved
from cloud_hub.images.build.sources.build import BUILDING, SourceBuilder
from cloud_hub.images.build.sources.finding import Sources
from cloud_hub.images.build.target import Target
from cloud_hub.images.build.wheel_cache import Kept, WheelCache

LOCK: Final = "serving/requirements.lock"
SERVER: Final = ("httptools>=0.6", "msgspec>=0.19,<1", "numpy>=1.26", "onnxruntime>=1.20", "uvloop>=0.21")
"""What the scoring server imports, as in ``modules/serving/requirements.in``; a test compares them."""


def locked_requirements() -> Path:
    """Return the lock file of the scoring server, from the installed package `modules`, not importing it."""
    for folder in package_folders("modules"):
        if (folder / LOCK).is_file():
            return folder / LOCK
    raise BuildError(
        "the list of Python dependencies is missing", where=f"modules/{LOCK}", fix="Install Headland again."
    )


def package_folders(name: str) -> list[Path]:
    """Return the folders of an installed top-level package without importing it."""
    spec = importlib.util.find_spec(name)
    return [Path(folder) for folder in (spec.submodule_search_locations if spec else None) or ()]


class PipWheelSource:
    """Downloads what is pinned for a Python, with ``pip download --require-hashes``.

    What is pinned: the wheels of an image's ``lock``; else what satisfies ``wanted`` and the scoring
    server; else the scoring server's own list, or ``pinned``. ``cache_dir`` keeps each wheel under its
    SHA-256, and for each list and Python its wheels. Which index pip asks is pip's own configuration.
    With ``allow_source_builds`` what has no wheel is built of its source archive, in a sandbox within
    ``source_limits``, and ``said`` is told of it.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        pinned: Path | None = None,
        wanted: Wanted | None = None,
        lock: Lock | None = None,
        timeout_s: float = 900.0,
        cancelled: Callable[[], bool] = lambda: False,
        allow_source_builds: bool = False,
        source_limits: SandboxLimits = BUILDING,
        said: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cache, self._pinned, self._wanted, self._lock = WheelCache(cache_dir), pinned, wanted, lock
        self._timeout_s, self._cancelled = timeout_s, cancelled
        self._builder = None
        if allow_source_builds:
            own = Target(own_platform(), platform.python_version(), native=True)
            pip = Pip(own, timeout_s, cancelled)
            self._builder = SourceBuilder(self._cache, pip, said=said, limits=source_limits)

    def wheels(self, target: Target) -> tuple[Wheel, ...]:
        """Return the wheels, downloading them only when they are not in the cache or damaged there.

        Raises `WheelDownloadError`, with what pip had to say about it, freed of credentials, and
        `RequirementsRefusedError` and `RequirementsUnresolvedError` for what was asked for; with source
        builds also what `SourceBuilder.build` raises.
        """
        self._cache.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as closing:
            work = _Work(Pip(target, self._timeout_s, self._cancelled), self._cache, self._builder, closing)
            if self._lock is not None:
                return self._of_lock(_wheels_in(self._lock, target), work)
            pinned = self._pins(work)
            python = [sysconfig.get_platform()] if target.native else [target.platform, target.libc]
            allowed = ["source builds"] if self._builder is not None else []
            about = [pinned, target.cache_tag, *python, *allowed]
            kept = self._cache.listed(about)
            if kept is not None and all(_is_pinned(one, pinned) for one in kept):
                found = self._cache.whole(kept)
                if found is not None:
                    return found
            found = self._downloaded(pinned, work, work.sources)
            self._cache.keep_list(about, found, work.folder)
            return found

    def _pins(self, work: "_Work") -> str:
        """Return the lines of pinned wheels for a Python."""
        own = (self._pinned or locked_requirements()).read_text(encoding="utf-8")
        if self._wanted is None:
            return own
        self._wanted.check_python(work.pip.target)
        if self._wanted.locked:
            names = self._wanted.names()
            rest = [line for line in logical_lines(own) if name_of(line) not in names]
            return "\n".join((*self._wanted.lines, *rest)) + "\n"
        return "\n".join(resolved(self._wanted, SERVER, own, work.pip, work.folder, work.sources)) + "\n"

    def _of_lock(self, locked: tuple[LockedWheel, ...], work: "_Work") -> tuple[Wheel, ...]:
        """Return the wheels of a lock, where they are all in the cache: an index may have them no more."""
        kept = self._cache.whole(locked)
        if kept is not None:
            return kept
        for one in locked:
            if one.source is None or self._cache.whole([one]) is not None:
                continue
            if work.sources is None:
                raise SourceBuildRefusedError(
                    "the lock has it built from source, and its wheel is not kept on this hub",
                    where=one.filename,
                    fix="Allow source builds (--allow-source-builds), and it is built again.",
                )
            work.sources.again(one)
        missing = tuple(one for one in locked if one.source is None)
        if missing:
            self._downloaded(pins(missing), work, None)
        kept = self._cache.whole(locked)
        if kept is None:
            raise _others()
        return kept

    def _downloaded(self, pinned: str, work: "_Work", sources: Sources | None) -> tuple[Wheel, ...]:
        lines, target = work.folder / "pinned.txt", work.folder / "wheels"
        lines.write_text(pinned)
        arguments = ["--no-deps", "--require-hashes", "-r", str(lines), "-d", str(target)]
        if sources is None:
            code, stderr = work.pip.run("download", arguments)
        else:
            code, stderr = sources.run("download", arguments, pinned=lines)
        if code != 0:
            raise WheelDownloadError(
                f"pip could not download the Python dependencies: {reason_in(stderr)}",
                where=f"requirements for {work.pip.target.platform}",
                fix="Look at the network and pip's configuration (`pip config list`), then build again."
                + ("" if sources is not None else " What has no wheel needs --allow-source-builds."),
            )
        now = lines.read_text()
        built = sources.built if sources is not None else {}
        found = []
        for path in sorted(target.glob("*.whl")):
            digest = digest_of(path)
            own = built.get(digest)
            found.append(own or self._cache.add(path))
        if not found or not all(one.digest in now for one in found):
            raise _others()
        return tuple(found)


class _Work:
    """pip for one target; a folder in the cache and what builds there, made when they are first needed.

    Where all is kept already nothing is written: the cache may be another user's.
    """

    def __init__(
        self, pip: Pip, cache: WheelCache, builder: SourceBuilder | None, closing: ExitStack
    ) -> None:
        self.pip = pip
        self._cache, self._builder, self._closing = cache, builder, closing

    @cached_property
    def folder(self) -> Path:
        return Path(
            self._closing.enter_context(
                tempfile.TemporaryDirectory(dir=self._cache.folder, prefix="resolve-")
            )
        )

    @cached_property
    def sources(self) -> Sources | None:
        return Sources(self._builder, self.pip, self.folder) if self._builder is not None else None


def _is_pinned(one: Kept, pinned: str) -> bool:
    return one.digest in pinned or (one.source is not None and one.source.digest in pinned)


def _wheels_in(lock: Lock, target: Target) -> tuple[LockedWheel, ...]:
    if target.platform not in lock.wheels:
        raise RequirementsRefusedError(
            f"the lock is for {platforms_in(lock.wheels)}",
            where=target.platform,
            fix="Build for those platforms, or without --lock.",
        )
    return lock.wheels[target.platform]


def _others() -> WheelDownloadError:
    return WheelDownloadError(
        "pip fetched no wheels, or others than those that are pinned", where="requirements", fix="Try again."
    )
