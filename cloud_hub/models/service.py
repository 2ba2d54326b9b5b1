"""The model registry: the same name again is the next version."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import func, select

from cloud_hub.blobs.service import Blobs, uploads_of
from cloud_hub.db.engine import Database
from cloud_hub.errors import NotFoundError
from cloud_hub.experiments.rows import RunRow
from cloud_hub.models.onnx_file import read_signature
from cloud_hub.models.rows import ModelRow
from contract.ids import check_name


class Models:
    """Models of all workspaces."""

    def __init__(self, database: Database, blobs: Blobs, work_dir: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._work_dir = work_dir

    def register(
        self,
        workspace: str,
        name: str,
        digest: str,
        *,
        run: str | None,
        tags: dict[str, Any],
        principal: str,
        file_name: str,
    ) -> ModelRow:
        """Register an uploaded ONNX file; raises `NotOnnxError`, `NotFoundError`."""
        check_name(name, where="model name")
        with self._database.reading() as session:
            link = self._blobs.find(session, uploads_of(workspace), digest)
            run_row = session.get(RunRow, run) if run is not None else None
            if run is not None and (run_row is None or run_row.workspace != workspace):
                raise NotFoundError("no such run in this workspace", where=run)
        with TemporaryDirectory(dir=self._work_dir) as folder:
            path = Path(folder) / "model.onnx"
            self._blobs.copy_to(digest, path)
            signature = read_signature(path, where=file_name)
        with self._database.transaction() as session:
            newest = session.scalar(
                select(func.max(ModelRow.version)).where(
                    ModelRow.workspace == workspace, ModelRow.name == name
                )
            )
            row = ModelRow(
                workspace=workspace,
                name=name,
                version=(newest or 0) + 1,
                digest=digest,
                size_bytes=link.size_bytes,
                framework="onnx",
                signature=signature,
                tags=tags,
                run=run,
                created_by=principal,
                created_at=datetime.now(UTC),
            )
            session.add(row)
        return row

    def get(self, workspace: str, name: str, version: int | None) -> ModelRow:
        """Return a version, or the newest; raises `NotFoundError`."""
        query = select(ModelRow).where(ModelRow.workspace == workspace, ModelRow.name == name)
        if version is not None:
            query = query.where(ModelRow.version == version)
        with self._database.reading() as session:
            row = session.scalars(query.order_by(ModelRow.version.desc()).limit(1)).first()
        if row is None:
            raise NotFoundError(
                "no such model in this workspace",
                where=name if version is None else f"{name}:{version}",
                fix="`headland model list` shows what is registered.",
            )
        return row

    def all_in(self, workspace: str) -> list[ModelRow]:
        """Return all versions by name."""
        query = select(ModelRow).where(ModelRow.workspace == workspace)
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(ModelRow.name, ModelRow.version)).all())
