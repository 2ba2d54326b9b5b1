"""The model registry: the same name again is the next version; what a version is never changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.owners import models_of
from cloud_hub.blobs.service import OCTETS, Blobs
from cloud_hub.db.engine import Database
from cloud_hub.db.locking import take
from cloud_hub.errors import InvalidInputError, NotFoundError, TooLargeError
from cloud_hub.experiments.rows import RunRow
from cloud_hub.models.describe import Description, describe
from cloud_hub.models.files import ModelFile, check_paths, digest_of
from cloud_hub.models.labels import changed, check_description, check_labels, rows_for
from cloud_hub.models.rows import ModelBaselineRow, ModelFileRow, ModelLabelRow, ModelNameRow, ModelRow
from contract.baseline import Baseline
from contract.ids import check_name


@dataclass(frozen=True)
class NewModel:
    """A version to register. ``files`` maps paths to digests of uploaded blobs.

    Of a model that is no ``folder`` there is one file. ``framework`` None: it must be ONNX.
    Pickles are refused unless ``allow_pickle``.
    """

    name: str
    files: Sequence[tuple[str, str]]
    folder: bool = False
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    framework: str | None = None
    allow_pickle: bool = False
    run: str | None = None
    baseline: Baseline | None = None


class Models:
    """Models of all workspaces."""

    def __init__(self, database: Database, blobs: Blobs, audit: Audit, *, most_bytes: int) -> None:
        self._database = database
        self._audit = audit
        self._blobs = blobs
        self._most_bytes = most_bytes

    def register(self, workspace: str, new: NewModel, by: Actor) -> ModelRow:
        """Register the next version of a model whose files are uploaded.

        Raises `InvalidInputError`, a `ModelRefusedError`, `NotFoundError` and `TooLargeError`.
        """
        _check(new)
        with self._database.reading() as session:
            _check_run(session, workspace, new.run)
            files = [
                ModelFile(path, digest, self._blobs.find_in(session, workspace, digest).size_bytes)
                for path, digest in new.files
            ]
        size_bytes = sum(file.size_bytes for file in files)
        if size_bytes > self._most_bytes:
            raise TooLargeError(
                f"a model may have {self._most_bytes} bytes, this one has {size_bytes}",
                where=new.name,
                fix="Raise max_model_bytes in the hub's settings.",
            )
        description = self._describe(new)
        row = ModelRow(
            workspace=workspace,
            name=new.name,
            description=new.description,
            folder=new.folder,
            digest=digest_of(files, folder=new.folder),
            size_bytes=size_bytes,
            framework=description.framework,
            signature=description.signature,
            pickled=description.pickled,
            run=new.run,
            created_by=by.principal,
            created_at=datetime.now(UTC),
            labels=_labels("tag", new.tags) + _labels("property", new.properties),
            files=[
                ModelFileRow(path=file.path, digest=file.digest, size_bytes=file.size_bytes) for file in files
            ],
        )
        with self._database.transaction() as session:
            row.version = _next_version(session, workspace, new.name)
            # In one order everywhere, so that two of them cannot wait for each other.
            for file in sorted(files, key=lambda file: file.digest):
                self._blobs.find_in(session, workspace, file.digest)
                self._blobs.link(session, models_of(workspace), file.digest, file.size_bytes, OCTETS)
            session.add(row)
            session.flush()
            if new.baseline is not None:
                document = msgspec.to_builtins(new.baseline)
                session.add(ModelBaselineRow(model=row.id, document=document))
            target = f"{row.name}:{row.version}"
            self._audit.record(session, by, "model.register", target, workspace=workspace)
        return row

    def change(
        self,
        workspace: str,
        name: str,
        version: int | None,
        by: Actor,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> ModelRow:
        """Change the description and tags; a tag set to None is taken away."""
        found = self.get(workspace, name, version)
        with self._database.transaction() as session:
            row = session.get(ModelRow, found.id, with_for_update=True)
            if row is None:
                raise no_such_model(name, found.version)
            after = changed(row, description, tags)
            kept = [label for label in row.labels if label.kind == "tag"]
            properties = [label for label in row.labels if label.kind == "property"]
            row.labels = properties + rows_for(after, kept, partial(ModelLabelRow, kind="tag"))
            target = f"{name}:{row.version}"
            self._audit.record(session, by, "model.change", target, workspace=workspace)
        return row

    def get(self, workspace: str, name: str, version: int | None) -> ModelRow:
        """Return a version, or the newest that is there; raises `NotFoundError`."""
        with self._database.reading() as session:
            return find_model(session, workspace, name, version)

    def file(self, workspace: str, name: str, version: int | None, path: str) -> ModelFileRow:
        """Return one file of a version; raises `NotFoundError`."""
        row = self.get(workspace, name, version)
        found = next((file for file in row.files if file.path == path), None)
        if found is None:
            raise NotFoundError("the model has no such file", where=f"{name}:{row.version}")
        return found

    def baseline(self, workspace: str, name: str, version: int | None) -> Baseline:
        """Return the baseline that a version was registered with; raises `NotFoundError`."""
        model = self.get(workspace, name, version)
        with self._database.reading() as session:
            row = session.get(ModelBaselineRow, model.id)
        if row is None:
            raise NotFoundError(
                "the model was registered without a baseline",
                where=f"{name}:{model.version}",
                fix="Register the next version with --baseline FILE.",
            )
        return msgspec.convert(row.document, Baseline)

    def _describe(self, new: NewModel) -> Description:
        paths = [path for path, _ in new.files]
        with self._blobs.as_folder(new.files) as folder:
            return describe(folder, paths, new.framework, allow_pickle=new.allow_pickle)


def find_model(session: Session, workspace: str, name: str, version: int | None) -> ModelRow:
    """Return a version, or the newest that is there, within a transaction; raises `NotFoundError`."""
    query = select(ModelRow).where(ModelRow.workspace == workspace, ModelRow.name == name)
    if version is not None:
        query = query.where(ModelRow.version == version)
    row = session.scalars(query.order_by(ModelRow.version.desc()).limit(1)).first()
    if row is None:
        raise no_such_model(name, version)
    return row


def _next_version(session: Session, workspace: str, name: str) -> int:
    """Return the version after the newest that ever was, the name's row locked."""
    new = partial(ModelNameRow, workspace=workspace, name=name, newest=0)
    row = take(session, ModelNameRow, (workspace, name), new)
    row.newest += 1
    return row.newest


def _check(new: NewModel) -> None:
    check_name(new.name, where="model name")
    paths = [path for path, _ in new.files]
    if not new.folder and len(paths) != 1:
        raise InvalidInputError("a model that is no folder is one file", where="files")
    check_paths(paths)
    check_labels(new.tags, kind="tags")
    check_labels(new.properties, kind="properties")
    check_description(new.description)


def _check_run(session: Session, workspace: str, run: str | None) -> None:
    row = session.get(RunRow, run) if run is not None else None
    if run is not None and (row is None or row.workspace != workspace):
        raise NotFoundError("no such run in this workspace", where=run)


def _labels(kind: str, labels: Mapping[str, str]) -> list[ModelLabelRow]:
    return [ModelLabelRow(kind=kind, key=key, value=value) for key, value in labels.items()]


def no_such_model(name: str, version: int | None) -> NotFoundError:
    """Return the error for a model that is not there."""
    return NotFoundError(
        "no such model in this workspace",
        where=name if version is None else f"{name}:{version}",
        fix="`headland model list` shows what is registered.",
    )
