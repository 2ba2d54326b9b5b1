"""HTTP: images and their builds."""

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.activities.schemas import ActivityAnswer
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Ask
from cloud_hub.errors import InvalidInputError
from cloud_hub.images.attached import What, attached_to, read_attached
from cloud_hub.images.build.options import GZIP, HOST, BuildOptions, Compression
from cloud_hub.images.build.requirements import RequirementsKind
from cloud_hub.images.build_job import FileInput, FpgaInput
from cloud_hub.images.fpga.options import FpgaOptions, IoType, Strategy
from cloud_hub.images.pushed import Pushed
from cloud_hub.images.removal import delete_image
from cloud_hub.images.schemas import (
    AttachedAnswer,
    ImageAnswer,
    ImagePage,
    ImageQuery,
    RegisterAsk,
    UseAnswer,
)
from cloud_hub.images.search import search
from cloud_hub.models.schemas import ChangeAsk
from contract.ids import split_versioned

router = guarded_router(f"{WORKSPACE}/images", "images")


class RequirementsAsk(Ask):
    """An uploaded file with dependencies: ``requirements``, ``pyproject`` or ``conda``."""

    kind: RequirementsKind
    digest: str


class FpgaAsk(Ask):
    """An image of kind ``fpga``: its arithmetic, and the digest of an uploaded .npz to measure it on."""

    precision: str = "ap_fixed<16,6>"
    reuse_factor: int = 1
    io_type: IoType = "io_parallel"
    strategy: Strategy = "Latency"
    data_digest: str | None = None


class BuildAsk(Ask):
    """What to build: a registered model, and digests of uploaded files where there are some.

    ``platforms`` are such as ``linux/arm64``; none is the hub's own. ``allow_source_builds``: packages
    without a wheel may be built on the hub, each in a sandbox.
    """

    name: str
    model: str
    script_digest: str | None = None
    base: str = HOST
    base_secret: str | None = None
    platforms: list[str] = Field(default_factory=list, max_length=16)
    compression: Compression = GZIP
    requirements: RequirementsAsk | None = None
    lock_digest: str | None = None
    fpga: FpgaAsk | None = None
    allow_source_builds: bool = False


@router.post("/builds", status_code=202)
def build(ask: BuildAsk, hub: Hub, who: Who) -> ActivityAnswer:
    """Start a build; its activity's result names the image."""
    options = BuildOptions(ask.base, tuple(ask.platforms), ask.compression, ask.allow_source_builds)
    found = ask.requirements
    row = hub.image_builds.start(
        who.workspace,
        ask.name,
        ask.model,
        script_digest=ask.script_digest,
        by=who.by,
        options=options,
        requirements=FileInput(kind=found.kind, digest=found.digest) if found is not None else None,
        lock_digest=ask.lock_digest,
        base_secret=ask.base_secret,
        fpga=_fpga(ask.fpga) if ask.fpga is not None else None,
    )
    return ActivityAnswer.model_validate(row)


def _fpga(ask: FpgaAsk) -> FpgaInput:
    options = FpgaOptions(ask.precision, ask.reuse_factor, ask.io_type, ask.strategy)
    return FpgaInput(options=options, data_digest=ask.data_digest)


@router.post("", status_code=201)
def register(ask: RegisterAsk, hub: Hub, who: Who) -> ImageAnswer:
    """Register what another tool pushed as the next version; all of it must be there."""
    pushed = Pushed(
        name=ask.name,
        reference=ask.reference,
        models=ask.models,
        description=ask.description,
        tags=ask.tags,
    )
    row = hub.pushed_images.register(who.workspace, pushed, who.by)
    return ImageAnswer.model_validate(hub.images.get(who.workspace, row.name, row.version))


@router.get("")
def images(hub: Hub, who: Who, query: Annotated[ImageQuery, Query()]) -> ImagePage:
    """Find images: all that is said must hold; names, bases and layers may be globs."""
    page = search(hub.database, who.workspace, query.search(), limit=query.limit, cursor=query.cursor)
    return ImagePage.model_validate(page)


@router.get("/{image}")
def show(image: str, hub: Hub, who: Who) -> ImageAnswer:
    """Return ``name`` (its newest version) or ``name:version``."""
    name, version = split_versioned(image, where="image")
    return ImageAnswer.model_validate(hub.images.get(who.workspace, name, version))


@router.patch("/{image}")
def change(image: str, ask: ChangeAsk, hub: Hub, who: Who) -> ImageAnswer:
    """Change a version's description and tags; what it is never changes."""
    name, version = split_versioned(image, where="image")
    found = hub.images.change(
        who.workspace, name, version, who.by, description=ask.description, tags=ask.tags
    )
    return ImageAnswer.model_validate(found)


@router.delete("/{image}", status_code=204)
def delete(image: str, hub: Hub, who: Who) -> None:
    """Delete ``name:version``, which no deployment may use."""
    name, version = split_versioned(image, where="image")
    if version is None:
        raise InvalidInputError("a version must be said", where=name, fix=f"Write it as {name}:1.")
    delete_image(hub.database, hub.registry, hub.audit, who.workspace, name, version, who.by)


@router.get("/{image}/uses")
def uses(image: str, hub: Hub, who: Who) -> list[UseAnswer]:
    """Return the deployments that use a version: while there is one, it cannot be deleted."""
    name, version = split_versioned(image, where="image")
    found = hub.images.uses(who.workspace, name, version)
    return [UseAnswer.model_validate(use) for use in found]


@router.get("/{image}/packages")
def packages(image: str, hub: Hub, who: Who) -> list[str]:
    """Return the packages that the SBOMs of a version list, as ``name==version``."""
    name, version = split_versioned(image, where="image")
    return hub.images.packages(who.workspace, name, version)


@router.get("/{image}/attached")
def attached(image: str, hub: Hub, who: Who) -> list[AttachedAnswer]:
    """Return what is attached to a version: SBOM, provenance, lock, build log, and what others pushed."""
    name, version = split_versioned(image, where="image")
    found = attached_to(hub.database, hub.registry, who.workspace, name, version)
    return [AttachedAnswer.model_validate(one) for one in found]


@router.get("/{image}/attached/{what}")
def attached_document(image: str, what: What, hub: Hub, who: Who, platform: str | None = None) -> Response:
    """Return an attached document as it is: ``sbom``, ``provenance``, ``lock`` or ``log``."""
    name, version = split_versioned(image, where="image")
    data, media_type = read_attached(hub.database, hub.registry, who.workspace, name, version, what, platform)
    # What people attached is theirs: no browser is to take it for a page of the hub's.
    headers = {"Content-Disposition": f"attachment; filename={what}", "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type=media_type, headers=headers)
