"""Deleting models: what stays, what goes, and the points where a kill or another request may come between."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cloud_hub.activities.service import Activities
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.owners import models_of, uploads_of
from cloud_hub.blobs.parts import FileParts
from cloud_hub.blobs.rows import BlobLinkRow, BlobRow, UploadRow
from cloud_hub.blobs.service import OCTETS, Blobs, key_of
from cloud_hub.blobs.sweep import Sweeper
from cloud_hub.blobs.upload_rows import UploadKey
from cloud_hub.blobs.uploads import Uploads
from cloud_hub.db.engine import Database
from cloud_hub.errors import BlobGoneError, ModelInUseError, NotFoundError, UploadOffsetError
from cloud_hub.images.build_job import BuildParameters, Made
from cloud_hub.images.builds import ImageBuilds
from cloud_hub.images.rows import ImageModelRow, ImageRow
from cloud_hub.models.removal import delete_model
from cloud_hub.models.rows import ModelRow
from cloud_hub.models.service import Models, NewModel
from cloud_hub.registry.service import Registry
from contract.digests import sha256
from tests.hub.acting import BY, audit
from tests.registry.content import built

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
    return World(database, tmp_path)


async def test_a_deleted_versions_number_and_bytes(world: World) -> None:
    await world.upload()
    assert [world.register().version for _ in range(3)] == [1, 2, 3]
    world.delete(3)
    world.delete(2)
    assert world.register().version == 4
    for version in (1, 4):
        world.delete(version)
    assert world.owners() == set()
    assert world.sweeper.delete_bytes(datetime.now(UTC)) == 0, "the grace"
    assert world.has_bytes()
    assert world.sweep_later() == 1
    assert not world.has_bytes()
    with world.database.transaction() as session:
        assert session.get(BlobRow, DIGEST) is None
    await world.upload()
    assert world.register().version == 5
    world.whole()


async def test_bytes_that_another_model_or_workspace_has_stay(world: World) -> None:
    await world.upload()
    await world.upload(workspace="lab")
    world.register()
    world.register(name="other")
    world.register(workspace="lab")
    world.delete()
    assert world.owners() == {uploads_of("shop"), models_of("shop"), uploads_of("lab"), models_of("lab")}
    world.delete(name="other")
    assert world.owners() == {uploads_of("lab"), models_of("lab")}
    assert world.sweep_later() == 0
    world.whole()


async def test_a_model_in_use_is_not_deleted_and_the_images_are_named(world: World) -> None:
    await world.upload()
    model = world.register()
    with world.database.transaction() as session:
        session.add(world.image_of(model))
    with pytest.raises(ModelInUseError) as caught:
        world.delete()
    assert [one.field for one in caught.value.errors] == ["images.img:1"]
    assert caught.value.fix
    world.whole()
    with world.database.transaction() as session:
        session.delete(session.scalars(select(ImageRow)).one())
    world.delete()
    with pytest.raises(NotFoundError):
        world.delete()


async def test_the_database_refuses_as_well(world: World) -> None:
    """The control: without the check the foreign key still keeps an image with its model."""
    await world.upload()
    model = world.register()
    with world.database.transaction() as session:
        session.add(world.image_of(model))
    with pytest.raises(IntegrityError), world.database.transaction() as session:
        session.delete(session.get_one(ModelRow, model.id))


def race(*works: Callable[[], object]) -> list[object]:
    """Do all at the same moment; return what each returned or raised."""
    together = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        together.wait()
        try:
            return work()
        except (NotFoundError, ModelInUseError, BlobGoneError) as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


async def test_deletion_against_the_registration_of_an_image(world: World) -> None:
    activities = Activities(world.database, audit(world.database), at_once=1)
    images = ImageBuilds(
        world.database,
        world.blobs,
        Registry(world.database, world.blobs),
        world.models,
        activities,
        audit(world.database),
        work_dir=world.folder / "work",
        cache_dir=world.folder / "cache",
    )
    image = Made(built(world.blobs), "host", ())
    for number in range(30):
        await world.upload()
        model = world.register()
        asked = BuildParameters(
            workspace="shop", name="img", model=model.id, script_digest=None, principal="ana"
        )
        registered, deleted = race(
            partial(images._register, asked, model, image, f"activity-{number}"),
            partial(world.delete, model.version),
        )
        assert isinstance(registered, ImageRow) == isinstance(deleted, ModelInUseError)
        assert isinstance(registered, NotFoundError) == (deleted is None)
    activities.close()
    world.whole()


async def test_deletion_against_a_registration_of_the_same_bytes(world: World) -> None:
    for _ in range(20):
        await world.upload()
        first = world.register()
        _, second = race(partial(world.delete, first.version), world.register)
        world.whole()
        assert isinstance(second, (ModelRow, NotFoundError))
        if isinstance(second, ModelRow):
            world.delete(second.version)


async def test_the_sweep_against_uploads_and_registrations(world: World) -> None:
    for _ in range(15):
        await world.upload()
        world.delete(world.register().version)

        def again() -> object:
            asyncio.run(world.upload())
            return world.register()

        swept, registered = race(world.sweep_later, again)
        assert isinstance(registered, ModelRow), swept
        world.whole()
        world.delete(registered.version)


async def test_linking_what_was_just_swept_is_refused(world: World) -> None:
    await world.upload()
    world.delete(world.register().version)
    world.sweep_later()
    with pytest.raises(BlobGoneError), world.database.transaction() as session:
        world.blobs.link(session, "shop/img", DIGEST, 1, OCTETS)
    world.whole()


async def test_without_the_check_a_link_would_be_left_without_bytes(world: World) -> None:
    """The control of `whole`, and of the check in `Blobs.link`."""
    with world.database.transaction() as session:
        session.add(
            BlobLinkRow(
                owner="shop/img", digest=DIGEST, size_bytes=1, media_type=OCTETS, created_at=datetime.now(UTC)
            )
        )
    with pytest.raises(AssertionError, match="a link without bytes"):
        world.whole()


@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_kill_while_bytes_are_deleted(world: World, point: str) -> None:
    await world.upload()
    world.delete(world.register().version)
    setattr(world.store, point, "delete")
    with pytest.raises(Killed):
        world.sweep_later()
    world.restart()
    world.whole()
    assert world.has_bytes() == (point == "before")
    await world.upload()  # somebody is faster than the next sweep
    world.register()
    assert world.sweep_later() == 0
    world.whole()


@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_killed_sweep_ends_with_the_next(world: World, point: str) -> None:
    await world.upload()
    world.delete(world.register().version)
    setattr(world.store, point, "delete")
    with pytest.raises(Killed):
        world.sweep_later()
    world.restart()
    assert world.sweep_later() == 1
    assert not world.has_bytes()
    with world.database.transaction() as session:
        assert session.scalars(select(BlobRow)).all() == []


@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_kill_while_an_upload_is_moved_into_the_store(world: World, point: str) -> None:
    setattr(world.store, point, "move")
    with pytest.raises(Killed):
        await world.upload()
    world.restart()
    world.whole()
    assert world.owners() == set()
    await world.upload()
    assert world.owners() == {uploads_of("shop")}
    world.whole()
    with world.database.transaction() as session:
        assert session.scalars(select(UploadRow)).all() == []


async def test_a_verified_upload_whose_bytes_were_swept_begins_anew(world: World) -> None:
    world.store.after = "move"
    with pytest.raises(Killed):
        await world.upload()
    world.restart()
    assert world.sweeper.mark_unknown() == 1
    assert world.sweep_later() == 1
    with pytest.raises(UploadOffsetError):
        await world.upload()
    await world.upload()
    world.whole()
    assert world.owners() == {uploads_of("shop")}


async def test_bytes_of_others_are_not_given_for_an_upload_that_was_not_verified(world: World) -> None:
    """A part file that is lost does not lead to the store's bytes: only a verified upload does."""
    await world.upload(workspace="lab")
    key = UploadKey("shop", "ana", DIGEST)
    world.uploads.begin(key, len(DATA))
    with world.database.transaction() as session:
        session.scalars(select(UploadRow)).one().offset_bytes = len(DATA)

    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    with pytest.raises(UploadOffsetError):
        await world.uploads.append(key, len(DATA), nothing())
    assert world.owners() == {uploads_of("lab")}


async def test_bytes_that_no_row_knows_are_marked_then_swept(world: World) -> None:
    digest = world.blobs.save_bytes(b"of a build that was killed")
    assert world.sweep_later() == 0
    assert world.sweeper.mark_unknown() == 1
    assert world.sweeper.mark_unknown() == 0
    assert world.sweeper.delete_bytes(datetime.now(UTC)) == 0
    assert world.sweep_later() == 1
    assert not world.blobs.exists(digest)


async def test_marked_bytes_that_are_linked_again_stay(world: World) -> None:
    digest = world.blobs.save_bytes(b"of a build that goes on")
    world.sweeper.mark_unknown()
    with world.database.transaction() as session:
        world.blobs.link(session, "shop/img", digest, 5, OCTETS)
    assert world.sweep_later() == 0
    assert world.blobs.exists(digest)


async def test_old_upload_links_end_and_models_stay(world: World) -> None:
    await world.upload()
    await world.upload(b"never used")
    world.register()
    world.sweeper.sweep(datetime.now(UTC) + timedelta(days=8))
    assert world.owners() == {models_of("shop")}
    assert world.owners(b"never used") == set()
    world.sweeper.sweep(datetime.now(UTC) + timedelta(days=9))
    assert not world.has_bytes(b"never used")
    assert world.register().version == 2, "what a model has need not be sent again"
    world.whole()
