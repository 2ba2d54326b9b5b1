"""HTTP: datastores and the files in them."""

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.ranges import bytes_response
from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.datastores import files
from cloud_hub.datastores.places import OWN

router = guarded_router(f"{WORKSPACE}/datastores", "datastores")


class DatastoreAsk(Ask):
    """A datastore to attach; without ``url`` it is in the hub's own store."""

    name: str
    url: str = Field(default=OWN, max_length=2000)
    secret: str | None = None
    default: bool = False


class DatastoreAnswer(Answer):
    """A datastore; ``secret`` is the name of its credentials."""

    name: str
    url: str
    secret: str | None
    is_default: bool
    is_telemetry: bool
    created_by: str
    created_at: datetime


class FileAnswer(Answer):
    """An object in a listing."""

    key: str
    size_bytes: int


class StoredAnswer(FileAnswer):
    """An object that was put."""

    digest: str


@router.get("")
def datastores(hub: Hub, who: Who) -> list[DatastoreAnswer]:
    """Return the datastores by name."""
    return [DatastoreAnswer.model_validate(row) for row in hub.datastores.all_in(who.workspace)]


@router.post("", status_code=201)
def attach(ask: DatastoreAsk, hub: Hub, who: Who) -> DatastoreAnswer:
    """Attach a datastore; it is opened once, so that what cannot work is said now."""
    row = hub.datastores.attach(who.workspace, ask.name, ask.url, ask.secret, who.by, default=ask.default)
    return DatastoreAnswer.model_validate(row)


@router.post("/{datastore}/default")
def make_default(datastore: str, hub: Hub, who: Who) -> DatastoreAnswer:
    """Make it the datastore that is meant where none is named."""
    row = hub.datastores.make_default(who.workspace, datastore, who.by)
    return DatastoreAnswer.model_validate(row)


@router.delete("/{datastore}", status_code=204)
def detach(datastore: str, hub: Hub, who: Who) -> None:
    """Forget a datastore; its files stay where they are."""
    hub.datastores.detach(who.workspace, datastore, who.by)


@router.get("/{datastore}/files")
def listing(
    datastore: str,
    hub: Hub,
    who: Who,
    prefix: str = "",
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> list[FileAnswer]:
    """Return files by path; go on with ``after`` the last one."""
    store = hub.datastores.open(who.workspace, datastore)
    return [FileAnswer.model_validate(entry) for entry in files.page(store, prefix, after, limit)]


@router.put(
    "/{datastore}/files/{path:path}",
    status_code=201,
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}},
)
async def upload(datastore: str, path: str, request: Request, hub: Hub, who: Who) -> StoredAnswer:
    """Put a file; what is there is replaced, in one step."""
    store = await run_in_threadpool(hub.datastores.open, who.workspace, datastore)
    stored = await files.put(
        store,
        path,
        request.stream(),
        most_bytes=hub.settings.max_model_bytes,
        work_dir=hub.settings.data_dir / "work",
    )
    return StoredAnswer.model_validate(stored)


@router.get("/{datastore}/files/{path:path}")
def download(datastore: str, path: str, request: Request, hub: Hub, who: Who) -> Response:
    """Return a file, or the part of it that a ``Range`` names."""
    store = hub.datastores.open(who.workspace, datastore)
    size_bytes = files.size_of(store, path)
    return bytes_response(request, partial(files.read, store, path), size_bytes=size_bytes)


@router.delete("/{datastore}/files/{path:path}", status_code=204)
def delete(datastore: str, path: str, hub: Hub, who: Who) -> None:
    """Delete a file."""
    files.delete(hub.datastores.open(who.workspace, datastore), path)
