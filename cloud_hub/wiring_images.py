"""Builds the services of images: their registry, builds and deltas, and the registry on the wire."""

from datetime import timedelta

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.people import People
from cloud_hub.access.tokens import Tokens
from cloud_hub.activities.service import Activities
from cloud_hub.blobs.service import Blobs
from cloud_hub.core import Core, parts_of
from cloud_hub.image_stores.moving import ImageMover
from cloud_hub.image_stores.service import ImageStores
from cloud_hub.images.bases.for_builds import Bases
from cloud_hub.images.builds import ImageBuilds
from cloud_hub.images.deltas.service import ImageDeltas
from cloud_hub.images.pushed import PushedImages
from cloud_hub.images.removal import in_use
from cloud_hub.images.service import Images
from cloud_hub.models.service import Models
from cloud_hub.registry.changes import Changes
from cloud_hub.registry.collection import Collector
from cloud_hub.registry.pushes import Pushes
from cloud_hub.registry.service import Registry
from cloud_hub.registry.tokens import RegistryTokens
from cloud_hub.services import ImageServices
from cloud_hub.settings import Settings


def image_services(
    settings: Settings,
    core: Core,
    blobs: Blobs,
    models: Models,
    activities: Activities,
    credentials: tuple[Tokens, People, AttemptLimits],
) -> ImageServices:
    """Return them; ``credentials`` are what the registry's own tokens are got with."""
    registry = Registry(core.database, blobs)
    deltas, pushes = _deltas(settings, core, registry, activities), _pushes(settings, core, blobs)
    return ImageServices(
        images=Images(core.database, core.audit),
        image_stores=ImageStores(core.database, core.registries, core.audit),
        image_mover=ImageMover(core.database, blobs, core.registries),
        image_builds=_image_builds(settings, core, registry, models, activities, deltas),
        pushed_images=PushedImages(core.database, registry, core.audit, activities.starting, deltas.start_in),
        registry=registry,
        registry_changes=Changes(core.database, registry, core.audit, in_use),
        registry_tokens=RegistryTokens(*credentials, core.master_keys.derive("registry-tokens")),
        pushes=pushes,
        collector=_collector(settings, core, registry, pushes),
    )


def _collector(settings: Settings, core: Core, registry: Registry, pushes: Pushes) -> Collector:
    return Collector(
        core.database,
        registry,
        pushes,
        grace=timedelta(seconds=settings.keep_unlinked_s),
        keep_uploads=timedelta(seconds=settings.keep_uploads_s),
    )


def _deltas(settings: Settings, core: Core, registry: Registry, activities: Activities) -> ImageDeltas:
    work_dir, versions = settings.data_dir / "work", settings.delta_versions
    return ImageDeltas(
        core.database, registry.blobs, registry, activities, work_dir=work_dir, versions=versions
    )


def _image_builds(
    settings: Settings,
    core: Core,
    registry: Registry,
    models: Models,
    activities: Activities,
    deltas: ImageDeltas,
) -> ImageBuilds:
    data_dir = settings.data_dir
    return ImageBuilds(
        core.database,
        registry.blobs,
        registry,
        models,
        activities,
        core.audit,
        work_dir=data_dir / "work",
        cache_dir=data_dir / "cache",
        debian_mirror=settings.debian_mirror,
        bases=Bases(core.database, registry.blobs, core.secrets, core.registries.access),
        registered=deltas.start_in,
    )


def _pushes(settings: Settings, core: Core, blobs: Blobs) -> Pushes:
    parts = parts_of(settings, core, "registry-uploads")
    return Pushes(core.database, blobs, parts, most_bytes=settings.max_model_bytes)
