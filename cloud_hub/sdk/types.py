"""What the hub answers, typed. Unknown fields are skipped, so an older SDK reads a newer hub."""

from datetime import datetime
from typing import Any

import msgspec


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """An output's bytes."""

    digest: str
    size_bytes: int


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a metric."""

    name: str
    step: int
    value: float
    at: datetime


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A run as the hub knows it."""

    id: str
    experiment: str
    parent: str | None = None
    source: dict[str, str] = {}
    status: str
    parameters: dict[str, Any]
    outputs: dict[str, Output]
    metrics: list[Metric]
    created_by: str
    started_at: datetime
    finished_at: datetime | None


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """How far an upload is; ``complete``: the workspace has the file."""

    digest: str
    offset_bytes: int
    size_bytes: int
    complete: bool


class ExperimentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment: how many runs it has, how many of them go on, and when the last one began."""

    name: str
    runs: int
    running: int
    last_started_at: datetime


class HubProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the hub: ``here`` where it was seen lately, ``work`` what it does for all of them."""

    address: str
    release: str
    started_at: datetime
    seen_at: datetime
    here: bool
    work: list[str]


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model."""

    path: str
    digest: str
    size_bytes: int


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model; ``signature`` has inputs and outputs where they are known, else nothing.

    ``pickled``: a file of it is a pickle, which runs code when it is loaded.
    """

    name: str
    version: int
    description: str = ""
    folder: bool = False
    digest: str
    size_bytes: int
    framework: str
    signature: dict[str, Any]
    pickled: bool = False
    tags: dict[str, str]
    properties: dict[str, str] = {}
    files: list[ModelFile] = []
    run: str | None
    created_by: str
    created_at: datetime


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some models, and the cursor of those behind them."""

    items: list[Model]
    next: str | None


class RunLineage(msgspec.Struct, frozen=True, kw_only=True):
    """The run that made a model; of each metric the value logged last."""

    id: str
    experiment: str
    parent: str | None
    status: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    source: dict[str, str]


class DeviceUse(msgspec.Struct, frozen=True, kw_only=True):
    """A device whose module shall run (``desired``) or says that it runs (``reported``) an image."""

    device: str
    module: str
    image: str
    desired: bool
    reported: bool
    state: str | None


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model comes from, and where it has gone."""

    run: RunLineage | None
    images: list[str]
    devices: list[DeviceUse]


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an activity's log; ``number`` goes up from 1."""

    number: int
    at: datetime
    text: str


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """A long operation; ``progress`` from 0 to 1. ``log`` is there where one activity was asked for."""

    id: str
    kind: str
    state: str
    progress: float
    attempt: int
    cancel_requested_at: datetime | None
    result: dict[str, Any] | None
    error: dict[str, str] | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    log: list[LogLine] = msgspec.field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Is it over, well or not?"""
        return self.state in {"completed", "failed", "cancelled"}


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An address and the events that it is told."""

    id: str
    url: str
    events: list[str]
    state: str
    created_by: str
    created_at: datetime


class NewWebhook(Webhook, frozen=True, kw_only=True):
    """A webhook that was just made; ``secret`` is shown this once."""

    secret: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one webhook; ``state`` is waiting, delivered or given-up."""

    webhook: str
    sequence: int
    event: str
    state: str
    attempts: int
    status: int | None
    reason: str | None
    created_at: datetime
    next_at: datetime | None
    finished_at: datetime | None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device, and what it last said (`contract.messages.Hello`, `Reported`)."""

    id: str
    state: str
    created_at: datetime
    certificate_not_after: datetime | None
    last_seen_at: datetime | None
    hello: dict[str, Any] | None
    reported: dict[str, Any] | None
    tags: dict[str, str] = {}


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry sent to a device."""

    sent_bytes: int
    answers: int


class QueryResult(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a telemetry query; ``truncated`` where there were more."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A telemetry stream and what is stored of it."""

    stream: str
    rows: int
    size_bytes: int
    files: int


class DatastoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A datastore; ``secret`` is the name of its credentials, ``hub:`` the hub's own store."""

    name: str
    url: str
    secret: str | None
    is_default: bool
    is_telemetry: bool = False
    created_by: str
    created_at: datetime


class DatastoreFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a datastore."""

    key: str
    size_bytes: int


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was put, with the digest of what arrived."""

    key: str
    size_bytes: int
    digest: str
