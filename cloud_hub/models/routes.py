"""HTTP: the model registry."""

from functools import partial
from typing import Annotated

import msgspec
from fastapi import Query, Request, Response

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.ranges import bytes_response
from cloud_hub.errors import InvalidInputError
from cloud_hub.models.lineage import lineage
from cloud_hub.models.removal import delete_model
from cloud_hub.models.schemas import ChangeAsk, LineageAnswer, ModelAnswer, ModelAsk, ModelPage, ModelQuery
from cloud_hub.models.search import search
from cloud_hub.models.service import NewModel
from contract.baseline import read_baseline
from contract.digests import check_digest
from contract.ids import split_versioned

router = guarded_router(f"{WORKSPACE}/models", "models")


@router.post("", status_code=201)
def register(ask: ModelAsk, hub: Hub, who: Who) -> ModelAnswer:
    """Register the next version of a model."""
    return ModelAnswer.model_validate(hub.models.register(who.workspace, _new(ask), who.by))


@router.get("")
def models(hub: Hub, who: Who, query: Annotated[ModelQuery, Query()]) -> ModelPage:
    """Find models: all that is said must hold; a tag is ``key=value`` or ``key``, a name may be a glob."""
    page = search(hub.database, who.workspace, query.search(), limit=query.limit, cursor=query.cursor)
    return ModelPage.model_validate(page)


@router.get("/{model}")
def show(model: str, hub: Hub, who: Who) -> ModelAnswer:
    """Return ``name`` (its newest version) or ``name:version``."""
    name, version = split_versioned(model, where="model")
    return ModelAnswer.model_validate(hub.models.get(who.workspace, name, version))


@router.patch("/{model}")
def change(model: str, ask: ChangeAsk, hub: Hub, who: Who) -> ModelAnswer:
    """Change a version's description and tags; what it is never changes."""
    name, version = split_versioned(model, where="model")
    row = hub.models.change(who.workspace, name, version, who.by, description=ask.description, tags=ask.tags)
    return ModelAnswer.model_validate(row)


@router.delete("/{model}", status_code=204)
def delete(model: str, hub: Hub, who: Who) -> None:
    """Delete ``name:version``, which no image may hold."""
    name, version = split_versioned(model, where="model")
    if version is None:
        raise InvalidInputError("a version must be said", where=name, fix=f"Write it as {name}:1.")
    delete_model(hub.database, hub.blobs, hub.audit, who.workspace, name, version, who.by)


@router.get("/{model}/lineage")
def show_lineage(model: str, hub: Hub, who: Who) -> LineageAnswer:
    """Return the run that a version came from, the images that hold it, the devices that run those."""
    name, version = split_versioned(model, where="model")
    row = hub.models.get(who.workspace, name, version)
    return LineageAnswer.model_validate(lineage(hub.database, row))


@router.get("/{model}/baseline")
def show_baseline(model: str, hub: Hub, who: Who) -> Response:
    """Return the statistics of the training data that a version was registered with."""
    name, version = split_versioned(model, where="model")
    found = hub.models.baseline(who.workspace, name, version)
    return Response(msgspec.json.encode(found), media_type="application/json")


@router.head("/{model}/files/{path:path}", include_in_schema=False)
@router.get("/{model}/files/{path:path}")
def file(model: str, path: str, request: Request, hub: Hub, who: Who) -> Response:
    """Return a file of a version, or the part of it that a ``Range`` names; its ETag is its digest."""
    name, version = split_versioned(model, where="model")
    found = hub.models.file(who.workspace, name, version, path)
    read = partial(hub.blobs.read, found.digest)
    return bytes_response(request, read, digest=found.digest, size_bytes=found.size_bytes)


def _new(ask: ModelAsk) -> NewModel:
    if (ask.digest is None) == (ask.files is None):
        raise InvalidInputError("one of digest and files must be said", where="digest")
    one = [(ask.file_name, ask.digest or "")]
    files = [(file.path, file.digest) for file in ask.files] if ask.files is not None else one
    return NewModel(
        name=ask.name,
        files=[(path, check_digest(digest, where="digest")) for path, digest in files],
        folder=ask.files is not None,
        description=ask.description,
        tags=ask.tags,
        properties=ask.properties,
        framework=ask.framework,
        allow_pickle=ask.allow_pickle,
        run=ask.run,
        baseline=read_baseline(msgspec.json.encode(ask.baseline)) if ask.baseline is not None else None,
    )
