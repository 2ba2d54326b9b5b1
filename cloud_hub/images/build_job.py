"""Making an image of what a build's activity asks for; nothing of it is registered here."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from cloud_hub.activities.kinds import Progress
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.images.bases.for_builds import Bases, WorkspaceBases
from cloud_hub.images.build.bases import Asked, Base, host_base
from cloud_hub.images.build.build import PlatformPlan, build_image
from cloud_hub.images.build.debian.base import DebianBases
from cloud_hub.images.build.errors import OptionRefusedError
from cloud_hub.images.build.lock import Lock, read_lock
from cloud_hub.images.build.options import DEBIAN, FOREIGN, GZIP, HOST, BuildOptions, Compression
from cloud_hub.images.build.papers import lock_of, with_papers
from cloud_hub.images.build.pip_wheels import PipWheelSource
from cloud_hub.images.build.ports import BuildInputs, BuiltImage, InputFile
from cloud_hub.images.build.provenance import Origin
from cloud_hub.images.build.requirements import RequirementsKind, read_requirements
from cloud_hub.images.fpga.emulation import Inputs, make_fpga, ranges_in, with_fpga
from cloud_hub.images.fpga.options import FpgaOptions
from cloud_hub.images.layer_store import HubLayerStore
from cloud_hub.models.describe import ONNX, onnx_files
from cloud_hub.models.rows import ModelBaselineRow, ModelRow

LEFTOVERS: Final = ("*/download-*", "*/resolve-*")
"""What a build that was killed may leave in the cache."""


class FileInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file with dependencies: what it is, and the digest of its bytes."""

    kind: RequirementsKind
    digest: str


class FpgaInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an image of kind ``fpga`` is asked for, and the digest of the .npz that it is measured on."""

    options: FpgaOptions
    data_digest: str | None = None


class BuildParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a build's activity keeps: all that the build needs, whichever process does it."""

    workspace: str
    name: str
    model: int
    script_digest: str | None
    principal: str
    base: str = HOST
    base_secret: str | None = None
    platforms: tuple[str, ...] = ()
    compression: Compression = GZIP
    requirements: FileInput | None = None
    lock_digest: str | None = None
    fpga: FpgaInput | None = None
    allow_source_builds: bool = False


@dataclass(frozen=True)
class Made:
    """An image with all that is attached to it, the name of its base, and the packages in it."""

    image: BuiltImage
    base: str
    packages: tuple[str, ...]


class BuildJobs:
    """Makes images below ``work_dir``; ``cache_dir`` keeps what was downloaded."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        work_dir: Path,
        cache_dir: Path,
        debian_mirror: str,
        bases: Bases | None,
    ) -> None:
        self._database = database
        self._foreign = bases
        self._blobs, self._work_dir, self._cache_dir = blobs, work_dir, cache_dir
        self._debian_mirror = debian_mirror
        self._layers = HubLayerStore(database, blobs)

    def clear_leftovers(self) -> None:
        """Delete what builds that were cut off left in the cache; the hub itself clears the work folder."""
        for pattern in LEFTOVERS:
            for path in self._cache_dir.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def make(self, asked: BuildParameters, model: ModelRow, progress: Progress) -> Made:
        """Build the image and what is attached to it; raises `BuildError` and its subclasses."""
        files = [(file.path, file.digest) for file in model.files]
        with (
            TemporaryDirectory(dir=self._work_dir, prefix="build-") as folder,
            self._blobs.as_folder(files) as model_dir,
        ):
            inputs = self._inputs(asked, model, files, model_dir, Path(folder))
            told = _Log(progress)
            if asked.fpga is not None:
                inputs = self._with_fpga(asked.fpga, model, inputs, Path(folder), told)
            return self._made(asked, inputs, Path(folder), told)

    def _with_fpga(
        self, asked: FpgaInput, model: ModelRow, inputs: BuildInputs, work_dir: Path, told: "_Log"
    ) -> BuildInputs:
        data = None
        if asked.data_digest is not None:
            data = work_dir / "data.npz"
            self._blobs.copy_to(asked.data_digest, data)
        with self._database.reading() as session:
            row = session.get(ModelBaselineRow, model.id)
            ranges = ranges_in(row.document) if row is not None else None
        named = onnx_files([one.path for one in inputs.model_files])
        by_path = {one.path: one.file for one in inputs.model_files}
        parts = make_fpga(
            by_path[named[0]] if len(named) == 1 else inputs.model_file,
            asked.options,
            inputs=Inputs(data, ranges),
            work_dir=work_dir,
            progress=told,
            cancelled=told.progress.stopped,
        )
        return with_fpga(inputs, parts)

    def _inputs(
        self,
        asked: BuildParameters,
        model: ModelRow,
        files: Sequence[tuple[str, str]],
        model_dir: Path,
        work_dir: Path,
    ) -> BuildInputs:
        as_named = model.folder or model.framework != ONNX
        script = None
        if asked.script_digest is not None:
            script = work_dir / "score.py"
            self._blobs.copy_to(asked.script_digest, script)
        return BuildInputs(
            model_name=model.name,
            model_version=model.version,
            model_file=model_dir / files[0][0],
            model_digest=model.digest,
            script=script,
            model_files=tuple(
                InputFile(path, model_dir / path, digest) for path, digest in files if as_named
            ),
        )

    def _made(self, asked: BuildParameters, inputs: BuildInputs, work_dir: Path, told: "_Log") -> Made:
        started_at, plans, progress = datetime.now(UTC), list[PlatformPlan](), told.progress
        lock = read_lock(self._blobs.read_small(asked.lock_digest)) if asked.lock_digest else None
        debian = DebianBases(self._cache_dir / "debian", mirror=self._debian_mirror, lock=lock)
        foreign = self._foreign.of(asked.workspace, asked.base_secret) if self._foreign else None
        image = build_image(
            inputs,
            layers=self._layers,
            wheels=self._wheels(asked, lock, told),
            work_dir=work_dir,
            progress=told,
            cancelled=progress.stopped,
            options=BuildOptions(asked.base, asked.platforms, asked.compression, asked.allow_source_builds),
            bases=_Bases(debian, foreign),
            planned=plans.extend,
        )
        kept = lock_of(asked.base, plans, debian.used)
        read = self._blobs.read_small
        with_all = with_papers(
            image,
            inputs,
            plans,
            store=self._layers,
            index=read(image.index_digest),
            manifests=[read(one.manifest_digest) for one in image.manifests],
            lock=kept,
            origin=self._origin(asked, inputs, progress.activity, started_at),
            log=told.text(),
        )
        wheels = {f"{one.name}=={one.version}" for many in kept.wheels.values() for one in many}
        system = {f"{one.name}=={one.version}" for plan in plans for one in plan.base.packages}
        return Made(with_all, plans[0].base.name, tuple(sorted(wheels | system)))

    def _wheels(self, asked: BuildParameters, lock: Lock | None, told: "_Log") -> PipWheelSource:
        wanted = None
        if asked.requirements is not None:
            data = self._blobs.read_small(asked.requirements.digest)
            wanted = read_requirements(asked.requirements.kind, data)
        return PipWheelSource(
            self._cache_dir / "wheels",
            wanted=wanted,
            lock=lock,
            cancelled=told.progress.stopped,
            allow_source_builds=asked.allow_source_builds,
            said=lambda message: told(0.02, message),
        )

    def _origin(
        self, asked: BuildParameters, inputs: BuildInputs, activity: str, started_at: datetime
    ) -> Origin:
        files = {"model": inputs.model_digest}
        if asked.script_digest is not None:
            files["score.py"] = asked.script_digest
        if asked.requirements is not None:
            files[asked.requirements.kind] = asked.requirements.digest
        if asked.lock_digest is not None:
            files["lock"] = asked.lock_digest
        if asked.fpga is not None and asked.fpga.data_digest is not None:
            files["fpga data"] = asked.fpga.data_digest
        return Origin(
            name=f"{asked.workspace}/{asked.name}",
            invocation=activity,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            asked={
                "model": f"{inputs.model_name}:{inputs.model_version}",
                "base": asked.base,
                "platforms": list(asked.platforms),
                "compression": asked.compression,
                **({"allow_source_builds": True} if asked.allow_source_builds else {}),
                **({"fpga": msgspec.to_builtins(asked.fpga.options)} if asked.fpga else {}),
            },
            files=files,
        )


@dataclass(frozen=True)
class _Bases:
    """The bases that a hub has."""

    debian: DebianBases
    foreign: WorkspaceBases | None

    def base(self, asked: Asked, closing: ExitStack) -> Base:
        if asked.name == HOST:
            return host_base(asked.platform, closing)
        if asked.name == DEBIAN:
            return self.debian.base(asked, closing)
        if self.foreign is not None and asked.name.startswith(FOREIGN):
            return self.foreign.base(asked, closing)
        raise OptionRefusedError("no such base", where=asked.name, fix="Choose debian.")


@dataclass
class _Log:
    """Passes on how a build goes, and keeps its lines with their times for the image."""

    progress: Progress
    lines: list[str] = field(default_factory=list)

    def __call__(self, fraction: float, message: str) -> None:
        self.progress(fraction, message)
        self.lines.append(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {message}")

    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)
