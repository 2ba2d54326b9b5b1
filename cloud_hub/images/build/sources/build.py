"""`SourceBuilder`: from a source archive to a wheel that is kept, by way of a sandbox."""

import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import InvalidVersion

from cloud_hub.confinement.bubblewrap import WORK, in_system
from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.limits import MIB, SandboxLimits
from cloud_hub.confinement.sandbox import Ended, run_sandboxed
from cloud_hub.images.build.errors import (
    BuildCancelledError,
    SourceBuildFailedError,
    SourceBuildRefusedError,
    SourceBuildUnavailableError,
)
from cloud_hub.images.build.interpreter import running_interpreter
from cloud_hub.images.build.lock import LockedFile
from cloud_hub.images.build.pip_run import Pip, without_credentials
from cloud_hub.images.build.ports import Source, Wheel
from cloud_hub.images.build.sources.built_wheel import Name, take_built
from cloud_hub.images.build.sources.requirements import BuildRequirements
from cloud_hub.images.build.wheel_cache import WheelCache
from contract.encoding import decode
from contract.errors import ContractError

WORKER: Final = Path(__file__).with_name("worker.py")
PLACE: Final = "/headland/worker.py"
INPUTS: Final = "/headland/inputs"
FORMAT: Final = 1
ARCHIVE_LIMIT_BYTES: Final = 256 * MIB
LINE_LIMIT_BYTES: Final = MIB
LINES: Final = 8
BUILDING: Final = SandboxLimits()
ENVIRONMENT: Final = {
    "HOME": WORK,
    "LC_ALL": "C.UTF-8",
    "PATH": f"{WORK}/env/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "PIP_CONFIG_FILE": "/dev/null",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "315532800",  # the first second that a zip can tell
    "TZ": "UTC",
}


@dataclass(frozen=True)
class Archive:
    """A source archive on disk: the package that pip took it for, its published name, its digest."""

    name: str
    filename: str
    digest: str
    path: Path

    def package(self) -> Name:
        """Return name and version, as the file's name says; raises `SourceBuildRefusedError`."""
        try:
            name, version = parse_sdist_filename(self.filename)
        except (InvalidSdistFilename, InvalidVersion) as error:
            raise SourceBuildRefusedError(
                "its source archive is no .tar.gz or .zip, or is not named as one",
                where=self.name,
                fix="Take another version.",
            ) from error
        if name != canonicalize_name(self.name):
            raise SourceBuildRefusedError(
                f"the source archive found is of {name}", where=self.name, fix="Check the index."
            )
        return Name(name, version)


class _Answer(msgspec.Struct, frozen=True):
    requirements: list[str] | None = None
    more: list[str] | None = None
    filename: str | None = None


class SourceBuilder:
    """Builds wheels for the running Python, keeps them in ``cache``, and ``said`` is told of each."""

    def __init__(
        self,
        cache: WheelCache,
        pip: Pip,
        *,
        said: Callable[[str], None] = lambda _: None,
        limits: SandboxLimits = BUILDING,
    ) -> None:
        self._cache, self._said, self._limits = cache, said, limits
        self._cancelled = pip.cancelled
        self._needs = BuildRequirements(cache, pip)

    def build(self, archive: Archive, pinned: Sequence[LockedFile] | None = None) -> Wheel:
        """Return the wheel of an archive, the kept one where there is one.

        ``pinned`` is what its build needs, where that is known; then it is built anew. Raises
        `SourceBuildUnavailableError`, `SourceBuildRefusedError`, `SourceBuildFailedError`,
        `WheelRefusedError`, `WheelDownloadError` and `BuildCancelledError`.
        """
        of, interpreter = archive.package(), running_interpreter()
        about = ["built", FORMAT, archive.digest, str(interpreter.executable), interpreter.facts.build]
        kept = self._cache.whole(self._cache.listed(about) or ()) if pinned is None else None
        if kept is not None:
            return kept[0]
        _require_hidden(self._cache.folder, Path(interpreter.facts.prefix))
        with tempfile.TemporaryDirectory(dir=self._cache.folder, prefix="download-") as name:
            work = _Work(Path(name), archive, str(of), self._cancelled, self._limits)
            needs = self._build(work, of, pinned)
            source = Source(archive.filename, archive.digest, needs)
            wheel = self._cache.add(work.wheel, work.wheel.name, source)
            if pinned is None:
                self._cache.keep_list(about, [wheel], Path(name))
        return wheel

    def _build(self, work: "_Work", of: Name, pinned: Sequence[LockedFile] | None) -> tuple[Wheel, ...]:
        """Leave the wheel in ``work``; return what was there to build it."""
        self._said(f"Building {of} from source, in a sandbox")
        if pinned is not None:
            needs = self._needs.fetched(pinned, str(of), work.folder)
            work.make_wheel(needs, None)
        else:
            asked, more = work.asked(), list[str]()
            for _ in range(3):
                needs = self._needs.chosen([*asked, *more], str(of), work.folder)
                again = work.make_wheel(needs, more)
                if again is None:
                    break
                more = again
            else:
                raise work.failed("its build asks for other packages each time", "")
        take_built(work.raw, work.filename, of, work.wheel)
        return needs


def _require_hidden(folder: Path, prefix: Path) -> None:
    """Raise `SourceBuildUnavailableError` if a sandbox would see a folder of the hub."""
    if in_system(folder) or folder.resolve().is_relative_to(prefix.resolve()):
        raise SourceBuildUnavailableError(
            "the hub's data folder is among the programs of this machine, which a build sees",
            where="data_dir",
            fix="Move it, such as to /var/lib.",
        )


class _Work:
    """One archive in a sandbox, as often as it takes."""

    def __init__(
        self,
        folder: Path,
        archive: Archive,
        of: str,
        cancelled: Callable[[], bool],
        limits: SandboxLimits,
    ) -> None:
        self.folder, self.filename = folder, ""
        self._of, self._cancelled, self._limits = of, cancelled, limits
        self._inputs = folder / "inputs"
        self._inputs.mkdir()
        if archive.path.stat().st_size > ARCHIVE_LIMIT_BYTES:
            raise SourceBuildRefusedError(
                f"its source archive is larger than {ARCHIVE_LIMIT_BYTES} bytes",
                where=of,
                fix="Have a wheel of it in the index.",
            )
        self._give(archive.path, self._inputs / "archive")

    @property
    def raw(self) -> Path:
        """Where the wheel is as it came out of the sandbox."""
        return self.folder / "raw"

    @property
    def wheel(self) -> Path:
        """Where the wheel is to be written anew."""
        return self.folder / (self.filename or "none.whl")

    def asked(self) -> list[str]:
        """Return what the archive says that its build needs."""
        answer = self._ask({"verb": "requirements"})
        return answer.requirements or []

    def make_wheel(self, needs: Sequence[Wheel], known: list[str] | None) -> list[str] | None:
        """Build with ``needs``; return what the build needs besides, or None if the wheel is there."""
        wheels = self._inputs / "wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        wheels.mkdir(mode=0o755)
        for one in needs:
            self._give(one.path, wheels / one.filename)
        answer = self._ask({"verb": "wheel", "known": known})
        if answer.filename is None and answer.more is None:
            raise self.failed("its build told neither a wheel nor what it needs", "")
        self.filename = answer.filename or ""
        return answer.more if answer.filename is None else None

    def failed(self, what: str, said: str) -> SourceBuildFailedError:
        """Return the error, with the last that was said."""
        lines = [line.strip() for line in said.splitlines() if line.strip()][-LINES:]
        plain = "".join(char if char.isprintable() else " " for char in " · ".join(lines))
        return SourceBuildFailedError(
            f"{what}: {without_credentials(plain)}" if lines else what,
            where=self._of,
            fix="Look whether it needs programs or headers that this machine lacks; builds have no network.",
        )

    def _give(self, path: Path, place: Path) -> None:
        # A copy that others may read: in the sandbox it is another user who does.
        shutil.copyfile(path, place)
        place.chmod(0o644)

    def _ask(self, asked: dict[str, Any]) -> _Answer:
        self._inputs.chmod(0o755)
        with (self.folder / "answer").open("w+b") as stream:
            ended = self._run(asked, stream)
            if ended.code != 0:
                raise self.failed(f"its build step failed (exit code {ended.code})", ended.said)
            stream.seek(0)
            try:
                answer = decode(stream.readline(LINE_LIMIT_BYTES), _Answer, what="answer")
            except ContractError as error:
                raise self.failed("its build step gave no answer that can be read", ended.said) from error
            if answer.filename is not None:
                with self.raw.open("wb") as raw:
                    shutil.copyfileobj(stream, raw)
        return answer

    def _run(self, asked: dict[str, Any], answer: BinaryIO) -> Ended:
        interpreter = running_interpreter()
        spec = importlib.util.find_spec("pip")
        (pip,) = spec.submodule_search_locations if spec and spec.submodule_search_locations else ("",)
        visible = {INPUTS: self._inputs, PLACE: WORKER, "/headland/pip/pip": Path(pip)}
        prefix = Path(interpreter.facts.prefix)
        if not in_system(prefix):
            visible[str(prefix)] = prefix
        try:
            return run_sandboxed(
                interpreter.executable,
                [
                    *(str(interpreter.executable), "-I", "-S", "-B", PLACE),
                    msgspec.json.encode(asked).decode(),
                ],
                visible=visible,
                environment=ENVIRONMENT,
                limits=self._limits,
                answer=answer,
                cancelled=self._cancelled,
            )
        except ChildLostError as error:
            if error.ending == "cancelled":
                raise BuildCancelledError(
                    "the build was cancelled", where=self._of, fix="Start it again."
                ) from error
            if error.ending == "unavailable":
                raise SourceBuildUnavailableError(
                    f"no package can be built from source: {error.what}",
                    where=self._of,
                    fix="Install bubblewrap 0.8 or newer (Debian: apt install bubblewrap) and allow the "
                    "hub's user to make user namespaces; or have a wheel of it in the index.",
                ) from error
            raise self.failed(f"its build was ended: {error.what}", "") from error
