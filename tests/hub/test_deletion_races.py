"""Deleting and sweeping while others register, upload and build."""

import asyncio
from functools import partial

from cloud_hub.activities.service import Activities
from cloud_hub.errors import ModelInUseError, NotFoundError
from cloud_hub.images.build_job import BuildParameters, Made
from cloud_hub.images.builds import ImageBuilds
from cloud_hub.images.rows import ImageRow
from cloud_hub.models.rows import ModelRow
from cloud_hub.registry.service import Registry
from tests.hub.acting import audit
from tests.hub.deletion_stage import World
from tests.hub.deletion_stage import world as world  # noqa: PLC0414  a fixture
from tests.hub.race import race
from tests.registry.content import built


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
