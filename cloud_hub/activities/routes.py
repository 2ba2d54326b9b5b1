"""HTTP: activities, and how to follow one."""

from functools import partial
from typing import Annotated, Literal

from fastapi import Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from cloud_hub.access.policy import POLICY, WORKSPACE
from cloud_hub.activities.schemas import ActivityAnswer, ActivityLogAnswer, LineAnswer
from cloud_hub.activities.service import News
from cloud_hub.activities.stream import EventStream, events, read_last_id
from cloud_hub.api.auth import Hub, Who, authorise, guarded_router

PREFIX = f"{WORKSPACE}/activities"
EVENTS = "/{activity}/events"
State = Literal["queued", "running", "completed", "failed", "cancelled"]

router = guarded_router(PREFIX, "activities")


@router.get("")
def activities(
    hub: Hub,
    who: Who,
    state: Annotated[list[State] | None, Query(description="Only in one of these states.")] = None,
    kind: Annotated[str | None, Query(description="Only of this kind.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[str | None, Query(description="The last id of the page before.")] = None,
) -> list[ActivityAnswer]:
    """Return activities without their logs, newest first."""
    rows = hub.activities.all_in(who.workspace, states=state or (), kind=kind, limit=limit, before=before)
    return [ActivityAnswer.model_validate(row) for row in rows]


@router.get("/{activity}")
def show(activity: str, hub: Hub, who: Who) -> ActivityLogAnswer:
    """Return one activity with its log."""
    row, lines = hub.activities.log(who.workspace, activity)
    log = [LineAnswer.model_validate(line) for line in lines]
    return ActivityLogAnswer(**ActivityAnswer.model_validate(row).model_dump(), log=log)


@router.post("/{activity}/cancel", status_code=202)
def cancel(activity: str, hub: Hub, who: Who) -> ActivityAnswer:
    """Ask an activity to stop. One that waits ends at once; one that runs, at its next step."""
    return ActivityAnswer.model_validate(hub.activities.cancel(who.workspace, activity, who.by))


@router.get(EVENTS, response_class=EventStream, status_code=200)
async def follow(
    activity: str,
    request: Request,
    hub: Hub,
    who: Who,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Follow an activity as server-sent events until its end; resumes after Last-Event-ID.

    Events: `line` (number, at, text), `progress` (state, progress, attempt, cancel_requested), `end`
    (the activity without its log), `refused` (code, detail) once the caller may no longer read it.
    """
    after = read_last_id(last_event_id)
    news = partial(hub.activities.news, who.workspace, activity)
    await run_in_threadpool(partial(news, after=None))  # what is not there is a problem, not a stream
    if after is None:
        return Response(status_code=204)  # tells a browser not to come back

    async def look(number: int) -> News:
        return await run_in_threadpool(partial(news, after=number))

    async def check() -> None:
        await run_in_threadpool(authorise, request, POLICY[f"GET {PREFIX}{EVENTS}"])

    hub.streams.enter()
    return EventStream(events(look, check, hub.streams, after), hub.streams)
