"""Builds of images, as activities: queued here, made in `cloud_hub.images.build_job`, registered here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cloud_hub.activities.kinds import Kind, Progress
from cloud_hub.activities.rows import ActivityRow
from cloud_hub.activities.service import Activities
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.service import OCTETS, Blobs
from cloud_hub.db.engine import Database
from cloud_hub.errors import InvalidInputError, TooLargeError
from cloud_hub.images.bases.for_builds import Bases
from cloud_hub.images.build.errors import OptionRefusedError
from cloud_hub.images.build.lock import read_lock
from cloud_hub.images.build.options import FOREIGN, BuildOptions, checked
from cloud_hub.images.build.ports import BuiltImage, PlatformImage
from cloud_hub.images.build.requirements import LIMIT_BYTES, read_requirements
from cloud_hub.images.build_job import BuildJobs, BuildParameters, FileInput, FpgaInput, Made
from cloud_hub.images.fpga.emulation import require_own_platform
from cloud_hub.images.fpga.options import checked as checked_fpga
from cloud_hub.images.platforms import ImageLayer, ImagePlatform
from cloud_hub.images.registration import NewImage, built_by, register
from cloud_hub.images.rows import ImageRow
from cloud_hub.models.describe import ONNX, onnx_files
from cloud_hub.models.rows import ModelRow
from cloud_hub.models.service import Models
from cloud_hub.registry.names import repository_of
from cloud_hub.registry.service import Registry
from contract import oci
from contract.digests import check_digest
from contract.ids import check_name, split_versioned

BUILD = "image-build"
LOCK_LIMIT_BYTES = 8 << 20


class ImageBuilds:
    """Builds in all workspaces."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        registry: Registry,
        models: Models,
        activities: Activities,
        audit: Audit,
        *,
        work_dir: Path,
        cache_dir: Path,
        debian_mirror: str = "",
        bases: Bases | None = None,
        registered: Callable[[Session, ImageRow], None] = lambda _session, _row: None,
    ) -> None:
        self._bases = bases
        self._database = database
        self._blobs = blobs
        self._registry = registry
        self._models = models
        self._activities = activities
        self._audit = audit
        self._registered = registered
        self._jobs = BuildJobs(database, blobs, work_dir, cache_dir, debian_mirror, bases)
        activities.register(Kind(BUILD, self._build))

    def clear_leftovers(self) -> None:
        """Delete what builds that were cut off left; for a process that has the data folder to itself."""
        self._jobs.clear_leftovers()

    def start(
        self,
        workspace: str,
        name: str,
        model: str,
        *,
        script_digest: str | None,
        by: Actor,
        options: BuildOptions | None = None,
        requirements: FileInput | None = None,
        lock_digest: str | None = None,
        base_secret: str | None = None,
        fpga: FpgaInput | None = None,
    ) -> ActivityRow:
        """Queue the build of the next version of ``name``; what is not there is refused at once."""
        check_name(name, where="image name")
        model_row = self._models.get(workspace, *split_versioned(model, where="model"))
        require_servable(model_row, scripted=script_digest is not None)
        options = checked(options or BuildOptions())
        if self._bases is not None:
            self._bases.check(workspace, options.base, base_secret)
        elif options.base.startswith(FOREIGN):
            raise OptionRefusedError("no such base", where=options.base, fix="Choose debian.")
        self._check_files(workspace, script_digest, requirements, lock_digest)
        if fpga is not None:
            fpga = self._checked(workspace, fpga, options, script_digest)
        parameters = BuildParameters(
            workspace=workspace,
            name=name,
            model=model_row.id,
            script_digest=script_digest,
            principal=by.principal,
            base=options.base,
            base_secret=base_secret,
            platforms=options.platforms,
            compression=options.compression,
            requirements=requirements,
            lock_digest=lock_digest,
            fpga=fpga,
            allow_source_builds=options.allow_source_builds,
        )
        with self._activities.starting() as session:
            row = self._activities.start_in(
                session, workspace, BUILD, by.principal, msgspec.to_builtins(parameters)
            )
            self._audit.record(session, by, "image.build", name, workspace=workspace)
        return row

    def _checked(
        self, workspace: str, fpga: FpgaInput, options: BuildOptions, script_digest: str | None
    ) -> FpgaInput:
        require_own_platform(options.platforms)
        if script_digest is not None:
            raise OptionRefusedError(
                "an image of kind fpga has a scoring script of its own", where="script", fix="Leave it out."
            )
        if fpga.data_digest is not None:
            self._size_of(workspace, fpga.data_digest, "fpga data")
        return FpgaInput(options=checked_fpga(fpga.options), data_digest=fpga.data_digest)

    def _check_files(
        self,
        workspace: str,
        script_digest: str | None,
        requirements: FileInput | None,
        lock_digest: str | None,
    ) -> None:
        if requirements is not None and lock_digest is not None:
            raise InvalidInputError(
                "a lock says all dependencies already",
                where="requirements, lock",
                fix="Give one of the two.",
            )
        if script_digest is not None:
            self._size_of(workspace, script_digest, "script_digest")
        if requirements is not None:
            data = self._small(workspace, requirements.digest, "requirements", LIMIT_BYTES)
            read_requirements(requirements.kind, data)
        if lock_digest is not None:
            read_lock(self._small(workspace, lock_digest, "lock", LOCK_LIMIT_BYTES))

    def _size_of(self, workspace: str, digest: str, where: str) -> int:
        check_digest(digest, where=where)
        with self._database.reading() as session:
            return self._blobs.find_in(session, workspace, digest).size_bytes

    def _small(self, workspace: str, digest: str, where: str, most_bytes: int) -> bytes:
        if self._size_of(workspace, digest, where) > most_bytes:
            raise TooLargeError(
                f"it has more than {most_bytes} bytes", where=where, fix="Is it the right file?"
            )
        return self._blobs.read_small(digest)

    def _build(self, raw: dict[str, Any], progress: Progress) -> dict[str, Any]:
        asked = msgspec.convert(raw, BuildParameters)
        with self._database.transaction() as session:
            row = built_by(session, progress.activity)
            model = session.get_one(ModelRow, asked.model)
        if row is None:
            made = self._jobs.make(asked, model, progress)
            try:
                row = self._register(asked, model, made, progress.activity)
            except IntegrityError:  # another process took the version, or made this very image
                row = self._register(asked, model, made, progress.activity)
        return {"image": f"{row.name}:{row.version}", "digest": row.digest}

    def _register(self, asked: BuildParameters, model: ModelRow, made: Made, activity: str) -> ImageRow:
        repository, built = repository_of(asked.workspace, asked.name), made.image
        with self._activities.starting() as session:
            row = register(
                session,
                NewImage(
                    workspace=asked.workspace,
                    name=asked.name,
                    digest=built.index_digest,
                    size_bytes=built.size_bytes,
                    platforms=tuple(_platform(one) for one in built.manifests),
                    models=(model.id,),
                    base=made.base,
                    compression=asked.compression,
                    kind="fpga" if asked.fpga is not None else "cpu",
                    packages=made.packages,
                    activity=activity,
                    created_by=asked.principal,
                ),
            )
            self._keep(session, repository, built)
            self._registry.set_tag(session, repository, str(row.version), built.index_digest)
            self._registered(session, row)
        return row

    def _keep(self, session: Session, repository: str, built: BuiltImage) -> None:
        """Link blobs first, then keep what names them, then what names that."""
        blobs, keep = self._registry.blobs, self._registry.keep_manifest
        for layer in built.layers:
            blobs.link(session, repository, layer.digest, layer.size_bytes, OCTETS)
        for one in built.manifests:
            config = blobs.read_small(one.config_digest)
            blobs.link(session, repository, one.config_digest, len(config), oci.CONFIG)
            keep(session, repository, blobs.read_small(one.manifest_digest), oci.MANIFEST)
        keep(session, repository, blobs.read_small(built.index_digest), oci.INDEX)
        for paper in built.attached:
            blobs.link(session, repository, oci.EMPTY_DIGEST, len(oci.EMPTY_BYTES), oci.EMPTY)
            blobs.link(session, repository, paper.blob_digest, paper.size_bytes, OCTETS)
            keep(session, repository, blobs.read_small(paper.manifest_digest), oci.MANIFEST)


def _platform(one: PlatformImage) -> ImagePlatform:
    return ImagePlatform(
        platform=one.platform,
        digest=one.manifest_digest,
        config_digest=one.config_digest,
        size_bytes=one.size_bytes,
        layers=tuple(
            ImageLayer(layer.title, layer.digest, layer.diff_id, layer.size_bytes) for layer in one.layers
        ),
    )


def require_servable(model: ModelRow, *, scripted: bool) -> None:
    """Raise `InvalidInputError` for a model that no image can serve.

    Without a script it is one ONNX file, with its external data beside it where it has some.
    """
    found = onnx_files([file.path for file in model.files])
    if scripted or (not model.folder and model.framework == ONNX) or len(found) == 1:
        return
    raise InvalidInputError(
        f"the model is {model.framework} with {len(found)} *.onnx files: it needs a script to be served",
        where=f"{model.name}:{model.version}",
        fix="Give --script, or register a folder with exactly one ONNX model.",
    )
