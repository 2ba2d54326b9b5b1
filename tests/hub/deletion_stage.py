"""Models, their bytes and the sweep over one store that can be killed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.owners import models_of
from cloud_hub.blobs.parts import FileParts
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import Blobs, key_of
from cloud_hub.blobs.sweep import Sweeper
from cloud_hub.blobs.upload_rows import UploadKey
from cloud_hub.blobs.uploads import Uploads
from cloud_hub.db.engine import Database
from cloud_hub.images.rows import ImageModelRow, ImageRow
from cloud_hub.models.removal import delete_model
from cloud_hub.models.rows import ModelRow
from cloud_hub.models.service import Models, NewModel
from contract.digests import sha256
from tests.hub.acting import BY, audit

GRACE = timedelta(hours=1)
LATER = timedelta(hours=2)
DATA = b"a model of some kind" * 1000
DIGEST = sha256(DATA)


class Killed(BaseException):
    """The process ends here."""


class FailingStore(FolderStore):
    """A folder store that is killed before or after what it does."""

    before: str = ""
    after: str = ""

    def delete(self, key: str) -> None:
        self._killed(self.before == "delete")
        super().delete(key)
        self._killed(self.after == "delete")

    def move_file(self, key: str, path: Path) -> None:
        self._killed(self.before == "move")
        super().move_file(key, path)
        self._killed(self.after == "move")

    def _killed(self, now: bool) -> None:
        if now:
            self.before = self.after = ""
            raise Killed


class World:
    """The services over one store that can be killed; `restart` is a new process on the same data."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.store = FailingStore(folder / "objects")
        self.restart()

    def restart(self) -> None:
        self.blobs = Blobs(self.database, self.store, self.folder / "work")
        self.parts = FileParts(self.folder / "parts")
        self.uploads = Uploads(self.database, self.blobs, self.parts, most_bytes=1 << 30)
        self.models = Models(self.database, self.blobs, audit(self.database), most_bytes=1 << 30)
        self.sweeper = Sweeper(
            self.database,
            self.store,
            self.blobs,
            self.parts,
            grace=GRACE,
            keep_uploads=timedelta(days=7),
        )

    async def upload(self, data: bytes = DATA, workspace: str = "shop") -> None:
        key = UploadKey(workspace, "ana", sha256(data))
        state = self.uploads.begin(key, len(data))
        if not state.complete:
            rest = data[state.offset_bytes :]

            async def part() -> AsyncIterator[bytes]:
                yield rest

            await self.uploads.append(key, state.offset_bytes, part())

    def register(self, data: bytes = DATA, workspace: str = "shop", name: str = "m") -> ModelRow:
        new = NewModel(name, [("m.bin", sha256(data))], framework="custom")
        return self.models.register(workspace, new, BY)

    def delete(self, version: int = 1, workspace: str = "shop", name: str = "m") -> None:
        delete_model(self.database, self.blobs, audit(self.database), workspace, name, version, BY)

    def sweep_later(self) -> int:
        return self.sweeper.delete_bytes(datetime.now(UTC) + LATER)

    def has_bytes(self, data: bytes = DATA) -> bool:
        return self.store.exists(key_of(sha256(data)))

    def owners(self, data: bytes = DATA) -> set[str]:
        with self.database.transaction() as session:
            query = select(BlobLinkRow.owner).where(BlobLinkRow.digest == sha256(data))
            return set(session.scalars(query).all())

    def whole(self) -> None:
        """Every link has its bytes, and every model its links."""
        with self.database.transaction() as session:
            for link in session.scalars(select(BlobLinkRow)).all():
                assert self.store.exists(key_of(link.digest)), "a link without bytes"
            for model in session.scalars(select(ModelRow)).all():
                for file in model.files:
                    assert session.get(BlobLinkRow, (models_of(model.workspace), file.digest)) is not None

    def image_of(self, model: ModelRow) -> ImageRow:
        return ImageRow(
            workspace=model.workspace,
            name="img",
            version=1,
            digest=DIGEST,
            size_bytes=1,
            platforms=[],
            inside=[ImageModelRow(model=model.id)],
            created_by="ana",
            created_at=datetime.now(UTC),
        )


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    """A stage for one test."""
    return World(database, tmp_path)
