"""Activities over HTTPS: lists, cancel, and event streams that are cut, revoked and bounded."""

import json
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cloud_hub.activities.kinds import Kind, Progress
from cloud_hub.activities.log_lines import MAX_LINES
from cloud_hub.activities.service import Activities
from cloud_hub.sdk.client import Client
from cloud_hub.sdk.context import Context
from cloud_hub.sdk.errors import ActivityFailedError, HubRefusedError, HubUnreachableError
from cloud_hub.sdk.events import Advance, End, Frame, Line, follow, frames
from cloud_hub.sdk.workspace import Workspace
from tests.activities.waiting import until
from tests.api.conftest import World, bearer
from tests.hub.acting import BY

PATH = "/api/v1/workspaces/shop/activities"


class Work:
    """A kind of activity that does what the test says, step by step."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.go = threading.Semaphore(0)

    def __call__(self, parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
        for n in range(int(parameters["lines"])):
            while not self.go.acquire(timeout=0.02):
                if progress.stopped():
                    break
            progress(n / parameters["lines"], f"line {n}")
        return {"lines": parameters["lines"]}

    def let(self, count: int) -> None:
        for _ in range(count):
            self.go.release()


@dataclass(frozen=True)
class Stage:
    world: World
    work: Work
    activities: Activities
    clients: list[Client] = field(default_factory=list)

    def start(self, lines: int) -> str:
        return self.activities.start("shop", "stepwise", "ana", {"lines": lines}).id

    def workspace(self, token: str | None = None) -> Workspace:
        ca = (self.world.core.certificate.parent / "ca.pem").read_text()
        hub = str(self.world.client.base_url).rstrip("/")
        context = Context(hub=hub, ca_pem=ca, token=token or self.world.admin_token)
        self.clients.append(Client(context))
        return Workspace(self.clients[-1], "shop")


@pytest.fixture
def stage(world: World) -> Iterator[Stage]:
    work = Work()
    world.services.activities.register(Kind("stepwise", work))
    world.services.activities.begin()
    stage = Stage(world, work, world.services.activities)
    yield stage
    work.let(100_000)
    for client in stage.clients:
        client.close()


def events_of(
    stage: Stage, activity: str, last: str = "", token: str | None = None
) -> Generator[Frame, None, None]:
    """Yield the frames of one connection, with their data read."""
    headers = bearer(token or stage.world.admin_token) | ({"Last-Event-ID": last} if last else {})
    with stage.world.client.stream("GET", f"{PATH}/{activity}/events", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield from frames(answer.iter_lines())


def test_a_stream_tells_lines_progress_and_the_end(stage: Stage) -> None:
    activity = stage.start(3)
    stage.work.let(3)
    found = list(events_of(stage, activity))
    kinds = [frame.kind for frame in found]
    assert (kinds.count("line"), kinds[-1], kinds.count("end")) == (3, "end", 1)
    end = json.loads(found[-1].data)
    assert (end["state"], end["result"], end["progress"]) == ("completed", {"lines": 3}, 1.0)
    assert "parameters" not in end
    assert found[-1].id == "end"


def test_lines_come_while_it_runs(stage: Stage) -> None:
    activity = stage.start(2)
    stream = events_of(stage, activity)
    stage.work.let(1)
    first = next(frame for frame in stream if frame.kind == "line")
    assert json.loads(first.data)["text"] == "line 0"
    assert stage.activities.get("shop", activity).state == "running"
    stage.work.let(1)
    assert [frame.kind for frame in stream][-1] == "end"


@pytest.mark.parametrize("cut_after", [1, 2, 7])
def test_a_cut_stream_goes_on_where_it_was_cut(stage: Stage, cut_after: int) -> None:
    activity = stage.start(20)
    stage.work.let(20)
    seen: list[int] = []
    last = ""
    while True:
        count, ended = 0, False
        for frame in events_of(stage, activity, last):
            last = frame.id
            ended = frame.kind == "end"
            if frame.kind == "line":
                seen.append(json.loads(frame.data)["number"])
                count += 1
            if ended or count == cut_after:
                break
        if ended:
            break
    assert seen == list(range(1, 21))


def test_without_last_event_id_lines_are_doubled(stage: Stage) -> None:
    """The negative control of the test above: the judge does see lines that come twice."""
    activity = stage.start(3)
    stage.work.let(3)
    seen = [
        json.loads(frame.data)["number"]
        for _ in range(2)
        for frame in events_of(stage, activity)
        if frame.kind == "line"
    ]
    assert seen == [1, 2, 3, 1, 2, 3]


def test_a_long_log_comes_whole(stage: Stage) -> None:
    activity = stage.start(MAX_LINES + 10)
    stage.work.let(MAX_LINES + 10)
    numbers = [json.loads(f.data)["number"] for f in events_of(stage, activity) if f.kind == "line"]
    assert numbers == list(range(1, MAX_LINES + 1))


def test_who_has_the_end_is_told_not_to_come_back(stage: Stage) -> None:
    activity = stage.start(0)
    list(events_of(stage, activity))
    headers = bearer(stage.world.admin_token) | {"Last-Event-ID": "end"}
    assert stage.world.client.get(f"{PATH}/{activity}/events", headers=headers).status_code == 204
    wrong = stage.world.client.get(
        f"{PATH}/{activity}/events", headers=headers | {"Last-Event-ID": "1; DROP"}
    )
    assert wrong.status_code == 422


def test_a_revoked_token_ends_the_stream(stage: Stage) -> None:
    token = stage.world.token("ana", {"shop": "Reader"})
    activity = stage.start(1)
    stream = events_of(stage, activity, token=token)
    next(stream)
    _revoke(stage, token)
    left = list(stream)
    assert left[-1].kind == "refused"
    assert json.loads(left[-1].data)["code"] == "unauthenticated"
    with pytest.raises(HubRefusedError):
        list(stage.workspace(token).follow(activity))


def _revoke(stage: Stage, token: str) -> None:
    caller = stage.world.services.tokens.authenticate(token, "")
    stage.world.services.tokens.revoke(caller.principal, caller.token, BY)


def test_as_many_streams_as_allowed_and_places_come_free(stage: Stage) -> None:
    streams = stage.world.services.streams
    activity = stage.start(1)
    open_now = [events_of(stage, activity) for _ in range(3)]
    for stream in open_now:
        next(stream)
    taken = streams.open
    streams.at_once = 3
    headers = bearer(stage.world.admin_token)
    refused = stage.world.client.get(f"{PATH}/{activity}/events", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (503, "too-many-streams")
    assert refused.json()["retriable"] is True
    assert taken == 3
    for stream in open_now:
        stream.close()
    until(lambda: streams.open == 0, "a free place")


def test_cancel_over_http(stage: Stage) -> None:
    reader = stage.world.token("rea", {"shop": "Reader"})
    contributor = stage.world.token("con", {"shop": "Contributor"})
    activity = stage.start(5)
    stage.work.let(1)
    until(lambda: stage.activities.get("shop", activity).lines == 1)
    path = f"{PATH}/{activity}/cancel"
    assert stage.world.client.post(path, headers=bearer(reader)).status_code == 403
    assert stage.world.client.post(path, headers=bearer(contributor)).status_code == 202
    found = list(events_of(stage, activity))
    assert json.loads(found[-1].data)["state"] == "cancelled"
    assert stage.world.client.post(path, headers=bearer(contributor)).status_code == 202
    done = stage.start(0)
    list(events_of(stage, done))
    late = stage.world.client.post(f"{PATH}/{done}/cancel", headers=bearer(contributor))
    assert (late.status_code, late.json()["code"]) == (409, "conflict")


def test_lists_are_filtered_and_paged(stage: Stage) -> None:
    workspace = stage.workspace()
    ids = [stage.start(0) for _ in range(3)]
    for each in ids:
        workspace.wait(each)
    assert [a.id for a in workspace.activities(limit=2)] == [ids[2], ids[1]]
    assert [a.id for a in workspace.activities(before=ids[1])] == [ids[0]]
    assert workspace.activities(states=["failed", "queued"]) == []
    headers = bearer(stage.world.admin_token)
    for query in ("state=gone", "limit=0", "limit=501"):
        assert stage.world.client.get(f"{PATH}?{query}", headers=headers).status_code == 422


def test_the_sdk_follows_waits_and_tells_of_failure(stage: Stage) -> None:
    workspace = stage.workspace()
    activity = stage.start(2)
    stage.work.let(2)
    found = list(workspace.follow(activity))
    assert [e.text for e in found if isinstance(e, Line)] == ["line 0", "line 1"]
    assert isinstance(found[-1], End)
    assert any(isinstance(e, Advance) for e in found)
    assert [line.text for line in workspace.activity(activity).log] == ["line 0", "line 1"]
    cancelled = stage.start(2)
    workspace.cancel(cancelled)
    with pytest.raises(ActivityFailedError, match="was cancelled"):
        workspace.wait(cancelled)


def test_the_follower_loses_and_doubles_nothing_over_cut_connections(stage: Stage) -> None:
    activity = stage.start(30)
    stage.work.let(30)
    client = stage.workspace()._client
    opened: list[str] = []

    def cut(last_id: str) -> Iterator[str]:
        """Break off in the middle of an event, at another place each time."""
        opened.append(last_id)
        path = f"/workspaces/shop/activities/{activity}/events"
        for count, line in enumerate(client.events(path, last_id)):
            if len(opened) < 6 and count == 9 + len(opened):
                raise HubUnreachableError("cut")
            yield line

    found = [e.number for e in follow(cut, patience_s=60) if isinstance(e, Line)]
    assert found == list(range(1, 31))
    assert len(opened) == 6

    def forgetful(_last_id: str) -> Iterator[str]:
        return cut("")

    opened.clear()
    again = [e.number for e in follow(forgetful, patience_s=60) if isinstance(e, Line)]
    assert again == found  # a hub that sends all again does not make a line come twice either


def test_the_follower_gives_up_when_the_hub_stays_away() -> None:
    def nobody(_last_id: str) -> Iterator[str]:
        raise HubUnreachableError("no answer")
        yield ""

    with pytest.raises(HubUnreachableError):
        list(follow(nobody, patience_s=0.1))


def test_frames_are_read_as_the_specification_says() -> None:
    text = ": comment\nretry: 5\n\nid: 1\nevent: line\ndata: a\ndata: b\n\ndata\n\nid:2\nevent: x\ndata:c\n"
    found = [(f.id, f.kind, f.data) for f in frames(text.splitlines())]
    assert found == [("1", "line", "a\nb"), ("", "message", "")]
