"""What the hub answers about a workspace as a whole."""

from datetime import datetime

import msgspec

from cloud_hub.sdk.types import DatastoreInfo


class HeldTelemetry(msgspec.Struct, frozen=True, kw_only=True):
    """Telemetry files that count, in one datastore; none stands for the hub's own store."""

    datastore: str | None
    files: int
    rows: int
    size_bytes: int


class TelemetryProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why telemetry waits for its datastore, as of the last try."""

    code: str
    what: str
    where: str
    fix: str
    since: datetime
    failures: int


class TelemetryStore(msgspec.Struct, frozen=True, kw_only=True):
    """Where new telemetry files go (none: the hub's own store), where files are, and what is in none yet."""

    datastore: str | None
    pending_batches: int
    oldest_pending_at: datetime | None
    problem: TelemetryProblem | None
    held: list[HeldTelemetry]


class ImageStore(msgspec.Struct, frozen=True, kw_only=True):
    """Where new images go: the address of an external registry, or ``hub:``.

    ``secret`` names its credential; ``pending_blobs`` wait on the hub to go there, and ``problem_*`` says
    why, as of the last try.
    """

    url: str
    secret: str | None
    pending_blobs: int
    problem_code: str | None
    problem_what: str | None
    problem_since: datetime | None


class WorkspaceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace as the hub knows it."""

    name: str
    created_at: datetime


class WorkspaceOverview(WorkspaceInfo, frozen=True, kw_only=True):
    """A workspace, where its stores are and what it has.

    ``images`` is its place in the hub's registry; ``secrets`` is ``hub:``, the hub's vault.
    """

    default_datastore: DatastoreInfo
    telemetry: TelemetryStore
    images: str
    image_store: ImageStore
    secrets: str
    counts: dict[str, int]
