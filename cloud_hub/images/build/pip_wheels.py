"""Wheels downloaded by pip, each pinned by hash, and kept so that later builds need no network."""

import importlib.util
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from cloud_hub.images.build.errors import BuildError, RequirementsRefusedError, WheelDownloadError
from cloud_hub.images.build.layer_tar import digest_of
from cloud_hub.images.build.lock import Lock, pins, platforms_in
from cloud_hub.images.build.pip_run import pip_command, reason_in, run_to_end
from cloud_hub.images.build.ports import Wheel
from cloud_hub.images.build.requirements import Wanted, logical_lines, name_of
from cloud_hub.images.build.resolve import resolved
from cloud_hub.images.build.target import Target
from contract.digests import hex_of, sha256
from contract.encoding import canonical, decode
from contract.errors import ContractError
from contract.ids import DIGEST

LOCK: Final = "serving/requirements.lock"
SERVER: Final = ("httptools>=0.6", "msgspec>=0.19,<1", "numpy>=1.26", "onnxruntime>=1.20", "uvloop>=0.21")
"""What the scoring server imports, as in ``modules/serving/requirements.in``; a test compares them."""


class _Kept(msgspec.Struct, frozen=True):
    filename: str
    digest: str


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
    ) -> None:
        self._cache_dir, self._pinned, self._wanted, self._lock = cache_dir, pinned, wanted, lock
        self._timeout_s, self._cancelled = timeout_s, cancelled

    def wheels(self, target: Target) -> tuple[Wheel, ...]:
        """Return the wheels, downloading them only when they are not in the cache or damaged there.

        Raises `WheelDownloadError`, with what pip had to say about it, freed of credentials, and
        `RequirementsRefusedError` and `RequirementsUnresolvedError` for what was asked for.
        """
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        pinned = self._pins(target)
        python = [sysconfig.get_platform()] if target.native else [target.platform, target.libc]
        listing = self._cache_dir / f"{hex_of(sha256(canonical([pinned, target.cache_tag, *python])))}.json"
        kept = self._of_lock(target) or self._kept(listing, pinned)
        if kept is None:
            with tempfile.TemporaryDirectory(dir=self._cache_dir, prefix="download-") as folder:
                self._download(pinned, target, Path(folder))
                self._keep(Path(folder), listing)
            kept = self._kept(listing, pinned)
        if kept is None:
            raise WheelDownloadError(
                "pip fetched no wheels, or others than those that are pinned",
                where="requirements",
                fix="Try again.",
            )
        return kept

    def _pins(self, target: Target) -> str:
        """Return the lines of pinned wheels for a Python."""
        if self._lock is not None:
            if target.platform not in self._lock.wheels:
                raise RequirementsRefusedError(
                    f"the lock is for {platforms_in(self._lock.wheels)}",
                    where=target.platform,
                    fix="Build for those platforms, or without --lock.",
                )
            return pins(self._lock.wheels[target.platform])
        own = (self._pinned or locked_requirements()).read_text(encoding="utf-8")
        if self._wanted is None:
            return own
        self._wanted.check_python(target)
        if self._wanted.locked:
            names = self._wanted.names()
            rest = [line for line in logical_lines(own) if name_of(line) not in names]
            return "\n".join((*self._wanted.lines, *rest)) + "\n"
        with tempfile.TemporaryDirectory(dir=self._cache_dir, prefix="resolve-") as folder:
            lines = resolved(
                self._wanted,
                SERVER,
                own,
                target,
                Path(folder),
                timeout_s=self._timeout_s,
                cancelled=self._cancelled,
            )
        return "\n".join(lines) + "\n"

    def _kept(self, listing: Path, pinned: str) -> tuple[Wheel, ...] | None:
        """Return the wheels of a list that are whole in the cache, or None where one is not."""
        try:
            known = decode(listing.read_bytes(), tuple[_Kept, ...], what="list of wheels")
        except (FileNotFoundError, ContractError):
            return None
        if not all(DIGEST.fullmatch(one.digest) and one.digest in pinned for one in known):
            return None
        return self._whole(known)

    def _of_lock(self, target: Target) -> tuple[Wheel, ...] | None:
        """Return the wheels of the lock, where they are all in the cache: an index may have them no more."""
        locked = self._lock.wheels.get(target.platform, ()) if self._lock is not None else ()
        return self._whole([_Kept(one.filename, one.digest) for one in locked])

    def _whole(self, known: Sequence[_Kept]) -> tuple[Wheel, ...] | None:
        wheels = []
        for kept in known:
            path = self._path_of(kept.digest)
            if not path.is_file() or digest_of(path) != kept.digest:
                return None
            wheels.append(Wheel(kept.filename, path, kept.digest))
        return tuple(wheels) or None

    def _keep(self, folder: Path, listing: Path) -> None:
        kept = []
        for path in sorted(folder.glob("*.whl")):
            digest = digest_of(path)
            kept.append(_Kept(path.name, digest))
            path.replace(self._path_of(digest))
        fresh = folder / "list.json"
        fresh.write_bytes(canonical(kept))
        fresh.replace(listing)

    def _path_of(self, digest: str) -> Path:
        return self._cache_dir / f"{hex_of(digest)}.whl"

    def _download(self, pinned: str, target: Target, folder: Path) -> None:
        lines = folder / "pinned.txt"
        lines.write_text(pinned)
        command = pip_command(
            "download", target, ["--no-deps", "--require-hashes", "-r", str(lines), "-d", str(folder)]
        )
        try:
            code, stderr = run_to_end(command, timeout_s=self._timeout_s, cancelled=self._cancelled)
        except (OSError, subprocess.SubprocessError) as error:
            raise WheelDownloadError(
                f"pip did not finish within {self._timeout_s:.0f} s",
                where="requirements",
                fix="Look at the network and pip's configuration, then build again.",
            ) from error
        if code != 0:
            raise WheelDownloadError(
                f"pip could not download the Python dependencies: {reason_in(stderr)}",
                where=f"requirements for {target.platform}",
                fix="Look at the network and pip's configuration (`pip config list`), then build again.",
            )
