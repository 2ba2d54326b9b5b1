"""The base ``debian``: its packages are looked up each time, fetched and unpacked where they are needed."""

import fcntl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from cloud_hub.images.build.bases import Asked, Base, SystemPackage
from cloud_hub.images.build.bytecode import Compiler
from cloud_hub.images.build.debian.apt import RELEASE, Apt
from cloud_hub.images.build.debian.packages import (
    GLIBC,
    INTERPRETER,
    PYTHON,
    RUNTIME,
    packages_in,
    version_of,
)
from cloud_hub.images.build.debian.runtime import PROGRAM, entries_of, loader_of, unpack_runtime
from cloud_hub.images.build.layer_plans import LayerPlan, layer_key
from cloud_hub.images.build.layer_tar import Entry, digest_of, stop_if
from cloud_hub.images.build.lock import Lock, LockedDeb
from cloud_hub.images.build.options import PLATFORMS, own_platform
from cloud_hub.images.build.target import Target
from contract.digests import hex_of

FRESH_S: Final = 3600.0
LOOK_S: Final = 0.1


class DebianBases:
    """Bases of Debian's packages, kept below ``cache_dir``; ``mirror`` as in `Apt`.

    With a ``lock`` the packages are those that it names, for the architectures that it has.
    """

    def __init__(self, cache_dir: Path, *, mirror: str = "", lock: Lock | None = None) -> None:
        self._cache_dir, self._mirror, self._lock = cache_dir, mirror, lock
        self.used: dict[str, tuple[LockedDeb, ...]] = {}

    def base(self, asked: Asked, closing: ExitStack) -> Base:
        """Return the base for a platform; raises `DebianUnavailableError` and `DebianFetchError`."""
        architecture = asked.platform.partition("/")[2]
        debs = self._packages(architecture, asked)
        runtime = _Runtime(self, debs, architecture, asked)
        own = _own_architecture() or architecture
        # Debian's own Python compiles: bytecode does not depend on the Python that the hub happens to have.
        compiling = runtime if own == architecture else _Runtime(self, self._packages(own, asked), own, asked)
        version = version_of(INTERPRETER, compiling.debs)
        compiler = closing.enter_context(
            Compiler(
                compiling.command, cache_tag=f"cpython-{PYTHON.replace('.', '')}", build=f"debian {version}"
            )
        )
        rows = [[deb.name, deb.version, deb.digest] for deb in debs]
        plan = LayerPlan(
            f"runtime (Debian {RELEASE})",
            layer_key("debian", [*rows, *compiler.identity]),
            lambda _: compiler.beside(runtime.entries()),
        )
        full_version = version_of(INTERPRETER, debs).partition("-")[0]
        return Base(
            name=f"debian:{RELEASE}",
            target=Target(asked.platform, full_version, f"glibc {GLIBC}"),
            python=PROGRAM,
            environment=("PATH=/usr/bin:/bin",),
            layers=(plan,),
            compiler=compiler,
            packages=tuple(
                SystemPackage("deb/debian", deb.name, deb.version, deb.architecture, deb.digest)
                for deb in debs
            ),
        )

    def fetched(self, debs: tuple[LockedDeb, ...], architecture: str, asked: Asked) -> list[Path]:
        """Return packages on disk, each with its digest; what is not in the cache is fetched."""
        folder = self._cache_dir / "packages"
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{hex_of(deb.digest)}.deb" for deb in debs]
        missing = [
            (deb, path)
            for deb, path in zip(debs, paths, strict=True)
            if not path.is_file() or digest_of(path) != deb.digest
        ]
        if missing:
            asked.said(f"Fetching {len(missing)} packages of Debian for {architecture}")
            with (
                _held(self._cache_dir / f"{architecture}.held", asked.cancelled),
                tempfile.TemporaryDirectory(dir=self._cache_dir, prefix="download-") as name,
            ):
                fresh = [(deb, Path(name) / path.name) for deb, path in missing]
                self._apt(architecture, asked).download(fresh)
                for _, path in fresh:
                    path.replace(folder / path.name)
        return paths

    def _packages(self, architecture: str, asked: Asked) -> tuple[LockedDeb, ...]:
        if architecture not in self.used:
            locked = self._lock.debian.get(architecture) if self._lock is not None else None
            self.used[architecture] = locked or self._looked_up(architecture, asked)
        return self.used[architecture]

    def _looked_up(self, architecture: str, asked: Asked) -> tuple[LockedDeb, ...]:
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        with _held(self._cache_dir / f"{architecture}.held", asked.cancelled):
            apt = self._apt(architecture, asked)
            stamp = self._cache_dir / architecture / "updated"
            if not _is_fresh(stamp, apt.sources):
                asked.said(f"Fetching the signed lists of Debian {RELEASE} for {architecture}")
                stamp.unlink(missing_ok=True)
                apt.update()
                stamp.write_text(apt.sources)
            return packages_in(apt.stanzas(RUNTIME))

    def _apt(self, architecture: str, asked: Asked) -> Apt:
        return Apt(
            self._cache_dir / architecture, architecture, mirror=self._mirror, cancelled=asked.cancelled
        )


class _Runtime:
    """The packages of one architecture, unpacked when they are first needed."""

    def __init__(
        self, bases: DebianBases, debs: tuple[LockedDeb, ...], architecture: str, asked: Asked
    ) -> None:
        self._bases, self._architecture, self._asked = bases, architecture, asked
        self.debs = debs
        self._root: Path | None = None
        self._entries: list[Entry] = []

    def entries(self) -> list[Entry]:
        self._unpacked()
        return self._entries

    def command(self) -> list[str]:
        """Return how to start its Python with its own libraries."""
        root = self._unpacked()
        folders = sorted({str(path.parent) for path in root.glob("**/*-linux-gnu/*.so*")})
        return [str(loader_of(root)), "--library-path", ":".join(folders), str(root / PROGRAM[1:])]

    def _unpacked(self) -> Path:
        if self._root is None:
            paths = self._bases.fetched(self.debs, self._architecture, self._asked)
            root = Path(tempfile.mkdtemp(dir=self._asked.work_dir, prefix=f"debian-{self._architecture}-"))
            self._entries = entries_of(unpack_runtime(paths, root), root)
            self._root = root
        return self._root


def _own_architecture() -> str:
    """Return this machine's architecture where Debian's Python for it can be run here."""
    platform = own_platform()
    return platform.partition("/")[2] if platform in PLATFORMS else ""


def _is_fresh(stamp: Path, sources: str) -> bool:
    try:
        return stamp.read_text() == sources and 0 <= time.time() - stamp.stat().st_mtime < FRESH_S
    except FileNotFoundError:
        return False


@contextmanager
def _held(path: Path, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Hold a lock against other builds, which the end of the process frees too."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stop_if(cancelled)
                time.sleep(LOOK_S)
        yield
