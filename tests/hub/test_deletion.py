"""Deleting models: what stays, what goes, and the points where a kill or another request may come between."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cloud_hub.blobs.owners import models_of, uploads_of
from cloud_hub.blobs.rows import BlobLinkRow, BlobRow, UploadRow
from cloud_hub.blobs.service import OCTETS
from cloud_hub.blobs.upload_rows import UploadKey
from cloud_hub.errors import BlobGoneError, ModelInUseError, NotFoundError, UploadOffsetError
from cloud_hub.images.rows import ImageRow
from cloud_hub.models.rows import ModelRow
from tests.hub.deletion_stage import DATA, DIGEST, Killed, World
from tests.hub.deletion_stage import world as world  # noqa: PLC0414  a fixture


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
