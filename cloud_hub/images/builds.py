"""Builds of images, as activities."""

import platform
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
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
from cloud_hub.errors import InvalidInputError
from cloud_hub.images.build.build import build_image
from cloud_hub.images.build.pip_wheels import PipWheelSource
from cloud_hub.images.build.ports import BuildInputs, BuiltImage, InputFile
from cloud_hub.images.layer_store import HubLayerStore
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


class BuildParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a build's activity keeps: all that the build needs, whichever process does it."""

    workspace: str
    name: str
    model: int
    script_digest: str | None
    principal: str


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
        registered: Callable[[ImageRow], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._registry = registry
        self._models = models
        self._activities = activities
        self._audit = audit
        self._registered = registered
        self._work_dir = work_dir
        self._layers = HubLayerStore(database, blobs)
        self._wheels_dir = cache_dir / "wheels"
        activities.register(Kind(BUILD, self._build))

    def start(
        self, workspace: str, name: str, model: str, *, script_digest: str | None, by: Actor
    ) -> ActivityRow:
        """Queue the build of the next version of ``name``; what is not there is refused at once."""
        check_name(name, where="image name")
        model_row = self._models.get(workspace, *split_versioned(model, where="model"))
        require_servable(model_row, scripted=script_digest is not None)
        if script_digest is not None:
            check_digest(script_digest, where="script_digest")
            with self._database.reading() as session:
                self._blobs.find_in(session, workspace, script_digest)

        parameters = BuildParameters(
            workspace=workspace,
            name=name,
            model=model_row.id,
            script_digest=script_digest,
            principal=by.principal,
        )
        with self._activities.starting() as session:
            row = self._activities.start_in(
                session, workspace, BUILD, by.principal, msgspec.to_builtins(parameters)
            )
            self._audit.record(session, by, "image.build", name, workspace=workspace)
        return row

    def _build(self, raw: dict[str, Any], progress: Progress) -> dict[str, Any]:
        asked = msgspec.convert(raw, BuildParameters)
        with self._database.transaction() as session:
            row = built_by(session, progress.activity)
            model = session.get_one(ModelRow, asked.model)
        if row is None:
            built = self._make(asked, model, progress)
            try:
                row = self._register(asked, model, built, progress.activity)
            except IntegrityError:  # another process took the version, or made this very image
                row = self._register(asked, model, built, progress.activity)
        self._registered(row)
        return {"image": f"{row.name}:{row.version}", "digest": row.digest}

    def _make(self, asked: BuildParameters, model: ModelRow, progress: Progress) -> BuiltImage:
        files = [(file.path, file.digest) for file in model.files]
        as_named = model.folder or model.framework != ONNX
        with (
            TemporaryDirectory(dir=self._work_dir, prefix="build-") as folder,
            self._blobs.as_folder(files) as model_dir,
        ):
            work_dir = Path(folder)
            script = None
            if asked.script_digest is not None:
                script = work_dir / "score.py"
                self._blobs.copy_to(asked.script_digest, script)
            inputs = BuildInputs(
                model_name=model.name,
                model_version=model.version,
                model_file=model_dir / files[0][0],
                model_digest=model.digest,
                script=script,
                model_files=tuple(
                    InputFile(path, model_dir / path, digest) for path, digest in files if as_named
                ),
            )
            return build_image(
                inputs,
                layers=self._layers,
                wheels=PipWheelSource(self._wheels_dir, cancelled=progress.stopped),
                work_dir=work_dir,
                progress=progress,
                cancelled=progress.stopped,
            )

    def _register(
        self, asked: BuildParameters, model: ModelRow, built: BuiltImage, activity: str
    ) -> ImageRow:
        repository = repository_of(asked.workspace, asked.name)
        with self._database.transaction() as session:
            row = register(
                session,
                NewImage(
                    workspace=asked.workspace,
                    name=asked.name,
                    digest=built.index_digest,
                    size_bytes=built.size_bytes,
                    platforms=(_platform(built),),
                    models=(model.id,),
                    base="host",
                    activity=activity,
                    created_by=asked.principal,
                ),
            )
            self._keep(session, repository, built)
            self._registry.set_tag(session, repository, str(row.version), built.index_digest)
        return row

    def _keep(self, session: Session, repository: str, built: BuiltImage) -> None:
        blobs = self._registry.blobs
        config = blobs.read_small(built.config_digest)
        blobs.link(session, repository, built.config_digest, len(config), oci.CONFIG)
        for layer in built.layers:
            blobs.link(session, repository, layer.digest, layer.size_bytes, OCTETS)
        manifest = blobs.read_small(built.manifest_digest)
        self._registry.keep_manifest(session, repository, manifest, oci.MANIFEST)
        index = blobs.read_small(built.index_digest)
        self._registry.keep_manifest(session, repository, index, oci.INDEX)


def _platform(built: BuiltImage) -> ImagePlatform:
    return ImagePlatform(
        platform=f"linux/{oci.architecture_of(platform.machine())}",
        digest=built.manifest_digest,
        config_digest=built.config_digest,
        size_bytes=built.size_bytes,
        layers=tuple(
            ImageLayer(layer.title, layer.digest, layer.diff_id, layer.size_bytes) for layer in built.layers
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
