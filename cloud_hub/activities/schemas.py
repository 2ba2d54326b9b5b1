"""Bodies of the HTTP routes of activities."""

from datetime import datetime
from typing import Any

from cloud_hub.api.schemas import Answer


class LineAnswer(Answer):
    """A line of a log."""

    number: int
    at: datetime
    text: str


class ActivityAnswer(Answer):
    """A long operation; ``progress`` from 0 to 1, ``attempt`` from 1 once it was begun."""

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


class ActivityLogAnswer(ActivityAnswer):
    """A long operation with its log."""

    log: list[LineAnswer]
