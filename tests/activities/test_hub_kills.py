"""A real hub process, killed at several points of an activity: it runs again, and ends exactly once.

The judges: the journal of the runs, the webhook's receiver, and a follower that stays on over the kills.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from cloud_hub.activities.queue import Queue
from cloud_hub.db.engine import Database
from cloud_hub.images.rows import ImageRow
from cloud_hub.init import initialise
from cloud_hub.sdk import Advance, Context, End, Hub, Line
from cloud_hub.sdk.context import save_context
from cloud_hub.sdk.types import Activity
from cloud_hub.sdk.workspace import Workspace
from cloud_hub.settings import Settings
from simulators.demo.stage import Daemon, free_port
from tests.activities import journal
from tests.activities.waiting import until
from tests.hub.acting import audit
from tests.hub.test_models import as_bytes, onnx_model
from tests.webhooks.receiver import Receiver, verify

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    """A hub with the journal kind and one webhook for everything; the workspace is shop."""

    folder: Path
    daemon: Daemon
    receiver: Receiver
    secret: str
    hub: Hub
    context: Path

    @property
    def data_dir(self) -> Path:
        return self.folder / "hub"

    @property
    def workspace(self) -> Workspace:
        return self.hub.workspace("shop")

    def start(self) -> None:
        self.daemon.start("hub ready")

    def kill(self) -> None:
        """SIGKILL, and wait until its NATS server has gone with it."""
        self.daemon.kill()

    def queue(self, traces: Path, **parameters: Any) -> str:
        """Queue an activity as a service of the hub would; the process finds it by itself."""
        database = Database(self.data_dir / "hub.db")
        from cloud_hub.webhooks.key_sealed_text import KeySealedText
        from cloud_hub.webhooks.service import Webhooks

        try:
            note = Webhooks(database, KeySealedText(b"k" * 32), audit(database)).note_activity
            with database.transaction() as session:
                queue = Queue(database, note, lease_s=30.0)
                row = queue.add(session, "shop", journal.NAME, "ana", {"folder": str(traces), **parameters})
            return row.id
        finally:
            database.close()

    def delivered(self) -> list[str]:
        """The events that the receiver took, each once however often it came; all are genuine."""
        for received in self.receiver.received:
            verify(self.secret, received.headers, received.body)
        return [r.type for r in {r.id: r for r in self.receiver.taken}.values()]

    def ended(self, activity: str) -> Activity:
        until(lambda: self.workspace.activity(activity).ended, "the end")
        return self.workspace.activity(activity)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="hl-act-"))
    settings = Settings(
        data_dir=folder / "hub", https_port=free_port(), mqtt_port=free_port(), outbound_allow=("127.0.0.1",)
    )
    token = initialise(settings)
    ca_pem = (settings.data_dir / "pki" / "ca.pem").read_text()
    context = Context(hub=settings.url, ca_pem=ca_pem, token=token, workspace="shop")
    monkeypatch.setenv("HEADLAND_CONTEXT", str(folder / "context.json"))
    save_context(context)
    command = ("python", "-m", "tests.activities.hub_process", str(settings.data_dir))
    daemon = Daemon("hub", folder, command)
    receiver = Receiver()
    receiver.start()
    with Hub(context) as hub:
        daemon.start("hub ready")
        hub.create_workspace("shop")
        made = hub.workspace("shop").webhooks.create(receiver.url, ["activity.*.*"])
        yield Stage(folder, daemon, receiver, made.secret, hub, folder / "context.json")
    daemon.kill()
    receiver.stop()
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Watch:
    """A follower in a thread of its own."""

    lines: list[int]
    texts: list[str]
    ends: list[str]
    thread: threading.Thread

    @classmethod
    def of(cls, stage: Stage, activity: str) -> "Watch":
        watch = cls([], [], [], threading.Thread())

        def run() -> None:
            for event in stage.workspace.follow(activity, patience_s=60):
                match event:
                    case Line():
                        watch.lines.append(event.number)
                        watch.texts.append(event.text)
                    case End():
                        watch.ends.append(event.activity.state)
                    case Advance():
                        pass

        watch.thread = threading.Thread(target=run)
        watch.thread.start()
        return watch


@pytest.mark.parametrize(
    "point", ["queued", "first step", "in the middle", "after the effect", "after the end"]
)
def test_a_killed_hub_does_it_again_and_it_ends_once(stage: Stage, point: str, tmp_path: Path) -> None:
    hold = {"first step": 0, "in the middle": 1, "after the effect": "after"}.get(point)
    go = tmp_path / "go"
    if point == "queued":
        stage.daemon.stop()
        activity = stage.queue(tmp_path)
        stage.start()
        stage.kill()  # at once after it is ready: before or just after it takes it up
    else:
        activity = stage.queue(tmp_path, hold=hold)
        seen = {0: "step 0", 1: "step 1", "after": "effect"}.get(hold, "effect") if hold is not None else ""
        watch = Watch.of(stage, activity)
        if hold is None:
            stage.ended(activity)
        else:
            until(lambda: seen in journal.entries(tmp_path), seen)
        stage.kill()
    go.touch()
    stage.start()
    done = stage.ended(activity)
    if point == "queued":
        watch = Watch.of(stage, activity)
    watch.thread.join(60)
    assert (done.state, done.result, watch.ends) == ("completed", {"steps": 3}, ["completed"])
    expected = {"queued": {1, 2}, "after the end": {1}}.get(point, {2})
    assert journal.runs(tmp_path) in expected
    assert watch.lines == list(range(1, len(done.log) + 1))
    assert watch.texts == [line.text for line in done.log]
    until(lambda: "activity.journal.completed" in stage.delivered(), "the webhook")
    counted = Counter(stage.delivered())
    assert (counted["activity.journal.queued"], counted["activity.journal.completed"]) == (1, 1)
    assert counted["activity.journal.running"] == done.attempt


def test_it_has_failed_after_three_kills(stage: Stage, tmp_path: Path) -> None:
    activity = stage.queue(tmp_path, hold=1)
    for n in range(3):
        until(lambda n=n: journal.runs(tmp_path) == n + 1)  # type: ignore[misc]
        stage.kill()
        stage.start()
    done = stage.ended(activity)
    assert (done.state, (done.error or {})["code"], done.attempt) == ("failed", "interrupted", 3)
    assert journal.runs(tmp_path) == 3


def test_a_receiver_that_is_away_over_kills_of_the_hub_is_told_all(stage: Stage, tmp_path: Path) -> None:
    stage.receiver.stop()
    (tmp_path / "go").touch()
    activities = [stage.queue(tmp_path) for _ in range(3)]
    for activity in activities:
        stage.ended(activity)
    stage.kill()
    stage.start()
    stage.kill()
    stage.receiver.start()
    stage.start()
    until(lambda: len(stage.delivered()) == 9, "nine deliveries")
    order = [(r.event["data"]["activity"], r.event["data"]["state"]) for r in stage.receiver.taken]
    for activity in activities:
        assert [s for a, s in dict.fromkeys(order) if a == activity] == ["queued", "running", "completed"]
    assert [d.state for d in stage.workspace.webhooks.deliveries(stage.workspace.webhooks.all()[0].id)] == [
        "delivered"
    ] * 9


def test_a_stop_in_good_order_ends_streams_and_keeps_the_work(stage: Stage, tmp_path: Path) -> None:
    activity = stage.queue(tmp_path, hold=1)
    watch = Watch.of(stage, activity)
    until(lambda: "step 1" in journal.entries(tmp_path))
    stage.daemon.stop()
    (tmp_path / "go").touch()
    stage.start()
    watch.thread.join(60)
    assert watch.ends == ["completed"]
    assert watch.lines == list(range(1, len(watch.lines) + 1))


def register(stage: Stage, folder: Path) -> None:
    path = folder / "digits.onnx"
    path.write_bytes(as_bytes(onnx_model()))
    stage.workspace.register_model("digits", path)


def test_an_image_build_killed_in_the_middle_makes_one_version(stage: Stage, tmp_path: Path) -> None:
    register(stage, tmp_path)
    build = stage.workspace.start_build("digits", "digits:1")
    for event in stage.workspace.follow(build.id):
        if isinstance(event, Line) and event.text.startswith("Layer 2"):
            break
    stage.kill()
    work = stage.data_dir / "work"
    assert list(work.iterdir()), "the kill came too late to leave anything"
    stage.start()
    done = stage.ended(build.id)
    assert (done.state, done.attempt) == ("completed", 2)
    assert done.result is not None
    assert done.result["image"] == "digits:1"
    assert list(work.iterdir()) == []
    database = Database(stage.data_dir / "hub.db")
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ImageRow)) == 1
    database.close()


def test_a_cancelled_image_build_leaves_nothing(stage: Stage, tmp_path: Path) -> None:
    register(stage, tmp_path)
    build = stage.workspace.start_build("digits", "digits:1")
    for event in stage.workspace.follow(build.id):
        if isinstance(event, Line) and event.text.startswith("Layer 1"):
            break
    stage.workspace.cancel(build.id)
    assert stage.ended(build.id).state == "cancelled"
    assert list((stage.data_dir / "work").iterdir()) == []
    assert stage.workspace.images() == []


def headland(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).parent / "headland")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_the_commands(stage: Stage, tmp_path: Path) -> None:
    activity = stage.queue(tmp_path, hold=1)
    program = str(Path(sys.executable).parent / "headland")
    # A shell has its background jobs ignore SIGINT, and what they start inherits that: not here.
    followed = subprocess.Popen(
        ["env", "--default-signal=INT", program, "activity", "follow", activity],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert followed.stdout is not None
    first = followed.stdout.readline()
    assert "step 0" in first, followed.communicate(timeout=30)
    assert "step 1" in followed.stdout.readline()
    os.kill(followed.pid, signal.SIGINT)
    _, told = followed.communicate(timeout=30)
    assert (followed.returncode, "the activity goes on" in told) == (130, True)
    assert stage.workspace.activity(activity).state == "running"
    listed = headland(stage, "activity", "list", "--state", "running", "--output", "json")
    assert [each["id"] for each in json.loads(listed.stdout)] == [activity]
    assert "was asked to stop" in headland(stage, "activity", "cancel", activity).stdout
    stage.ended(activity)
    followed_json = headland(stage, "activity", "follow", activity, "--output", "json")
    events = [json.loads(line) for line in followed_json.stdout.splitlines()]
    assert [e["number"] for e in events if e["event"] == "line"] == [1, 2]
    assert (events[-1]["event"], events[-1]["activity"]["state"]) == ("end", "cancelled")
    assert followed_json.returncode == 1
    assert "activity-failed" in followed_json.stderr
    webhook = stage.workspace.webhooks.all()[0].id
    until(lambda: len(stage.delivered()) >= 3)
    tested = headland(stage, "webhook", "test", webhook)
    assert (tested.returncode, tested.stdout.strip()) == (0, "delivered, answered 200"), tested.stderr
    assert stage.receiver.received[-1].type == "webhook.test"
    stage.receiver.behaviour = lambda _n: 500
    refused = headland(stage, "webhook", "test", webhook)
    assert (refused.returncode, "answered 500" in refused.stderr) == (1, True)
    assert "whsec_" not in headland(stage, "webhook", "list", "--output", "json").stdout
    made = json.loads(
        headland(stage, "webhook", "create", "https://192.0.32.10/x", "--output", "json").stdout
    )
    assert made["secret"].startswith("whsec_")
    assert headland(stage, "webhook", "deliveries", made["id"]).returncode == 0
    assert headland(stage, "webhook", "delete", made["id"]).returncode == 0
    kept = b"".join(path.read_bytes() for path in stage.data_dir.glob("hub.db*"))
    assert made["id"].encode() in kept  # the judge reads what is there
    assert made["secret"].encode() not in kept
