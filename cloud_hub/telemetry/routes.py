"""HTTP: telemetry."""

import base64
import math
from datetime import date, datetime
from decimal import Decimal

from pydantic import Field

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.telemetry.query import MAX_ROWS

router = guarded_router(f"{WORKSPACE}/telemetry", "telemetry")

Cell = str | int | float | bool | None | list["Cell"] | dict[str, "Cell"]


class QueryAsk(Ask):
    """One SELECT; each stream is a table."""

    sql: str = Field(min_length=1, max_length=100_000)
    limit: int = Field(default=10_000, ge=1, le=MAX_ROWS)


class QueryAnswer(Answer):
    """The rows; ``truncated`` where there were more than the limit."""

    columns: list[str]
    rows: list[list[object]]
    truncated: bool


class StoreAsk(Ask):
    """Where new telemetry files go: a datastore of the workspace, or (null) the hub's own store."""

    datastore: str | None


class HeldAnswer(Answer):
    """Files that count, in one datastore (null: in the hub's own store)."""

    datastore: str | None
    files: int
    rows: int
    size_bytes: int


class ProblemAnswer(Answer):
    """Why batches wait for the datastore, as of the last try."""

    code: str
    what: str
    where: str
    fix: str
    since: datetime
    failures: int


class TelemetryStoreAnswer(Answer):
    """Where telemetry is, and what is in no file yet; ``datastore`` null: the hub's own store."""

    datastore: str | None
    pending_batches: int
    oldest_pending_at: datetime | None
    problem: ProblemAnswer | None
    held: list[HeldAnswer]


class StreamAnswer(Answer):
    """A stream and what is stored of it."""

    stream: str
    rows: int
    size_bytes: int
    files: int


@router.post("/query")
def query(ask: QueryAsk, hub: Hub, who: Who) -> QueryAnswer:
    """Run a query over all that the hub has acknowledged."""
    result = hub.telemetry.query(who.workspace, ask.sql, ask.limit)
    rows = [[plain(cell) for cell in row] for row in result.rows]
    return QueryAnswer(columns=result.columns, rows=rows, truncated=result.truncated)


@router.get("/streams")
def streams(hub: Hub, who: Who) -> list[StreamAnswer]:
    """Return the streams of the workspace."""
    return [
        StreamAnswer.model_validate(row, from_attributes=False)
        for row in hub.telemetry.streams(who.workspace)
    ]


@router.get("/store")
def store(hub: Hub, who: Who) -> TelemetryStoreAnswer:
    """Return where the workspace's telemetry is, and what waits."""
    return TelemetryStoreAnswer.model_validate(hub.telemetry.state(who.workspace))


@router.put("/store")
def choose_store(ask: StoreAsk, hub: Hub, who: Who) -> TelemetryStoreAnswer:
    """Choose where new telemetry files go; a datastore is tried first. Earlier files stay where they are."""
    hub.telemetry_stores.choose(who.workspace, ask.datastore, who.by)
    hub.telemetry.forget_wait(who.workspace)
    return TelemetryStoreAnswer.model_validate(hub.telemetry.state(who.workspace))


def plain(cell: object) -> object:
    """Return a value of DuckDB's as JSON can say it: times in ISO 8601, bytes in base64."""
    match cell:
        case float() if not math.isfinite(cell):
            return None
        case None | bool() | int() | float() | str():
            return cell
        case datetime() | date():
            return cell.isoformat()
        case Decimal():
            return float(cell)
        case bytes():
            return base64.b64encode(cell).decode()
        case list() | tuple():
            return [plain(item) for item in cell]
        case dict():
            return {str(key): plain(item) for key, item in cell.items()}
        case _:
            return str(cell)
