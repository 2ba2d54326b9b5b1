"""Several processes on one database, killed and paused. The judge is the journal that each run leaves."""

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from cloud_hub.activities.log_lines import LogLength
from cloud_hub.activities.queue import Claim, Queue
from cloud_hub.activities.rows import ActivityRow
from cloud_hub.activities.service import Activities
from cloud_hub.db.engine import Database
from tests.activities import journal
from tests.activities.conftest import Processes
from tests.activities.test_queue import ends, start, state, texts
from tests.activities.waiting import until
from tests.hub.acting import BY

Make = Callable[..., Activities]
KINDS = {journal.NAME: 3}


def queue_of(database: Database, *, lease_s: float = 30.0) -> Queue:
    return Queue(database, lambda _session, _row: None, lease_s=lease_s)


def claimed(queue: Queue, holder: str) -> Claim:
    claim = queue.claim(KINDS, holder)
    assert claim is not None
    return claim


def test_two_processes_share_the_work_and_none_is_done_twice(
    processes: Processes, workers: Make, tmp_path: Path
) -> None:
    asker = workers(begin=False)
    folders = [tmp_path / f"f{n}" for n in range(30)]
    for folder in folders:
        folder.mkdir()
    ids = [start(asker, folder) for folder in folders]
    processes.start(lease_s=30, renew_s=5)
    processes.start(lease_s=30, renew_s=5)
    for each in ids:
        ends(asker, each, "completed")
    assert [journal.runs(folder) for folder in folders] == [1] * 30


def test_another_process_takes_over_what_a_kill_cut_off(
    processes: Processes, workers: Make, folder: Path
) -> None:
    asker = workers(begin=False)
    activity = start(asker, folder, hold=1)
    first = processes.start()
    until(lambda: "step 1" in journal.entries(folder))
    processes.start()
    first.kill()
    (folder / "go").touch()
    ends(asker, activity, "completed")
    assert journal.runs(folder) == 2
    assert asker.get("shop", activity).attempt == 2
    assert "attempt 2: the hub stopped during the one before" in texts(asker, activity)


def test_a_lease_that_is_renewed_is_not_taken_over(processes: Processes, workers: Make, folder: Path) -> None:
    asker = workers(begin=False)
    activity = start(asker, folder, hold=1)
    processes.start(lease_s=1.5, renew_s=0.2)
    until(lambda: "step 1" in journal.entries(folder))
    processes.start(lease_s=1.5, renew_s=0.2)
    first_lease = asker.get("shop", activity).lease_until
    assert first_lease is not None
    # Until the lease has been renewed far beyond the time when the first one ended.
    beyond = first_lease + timedelta(seconds=4)
    until(lambda: (asker.get("shop", activity).lease_until or first_lease) > beyond)
    (folder / "go").touch()
    ends(asker, activity, "completed")
    assert journal.runs(folder) == 1


def test_without_renewal_the_same_activity_is_run_twice(
    processes: Processes, workers: Make, folder: Path
) -> None:
    """The negative control of the test above: the journal does show a second run."""
    asker = workers(begin=False)
    activity = start(asker, folder, hold=1, hears=False)
    processes.start(lease_s=1.5, renew_s=3600)
    until(lambda: "step 1" in journal.entries(folder))
    processes.start(lease_s=1.5, renew_s=3600)
    until(lambda: journal.runs(folder) == 2)
    (folder / "go").touch()
    ends(asker, activity, "completed")


def test_a_paused_process_does_not_overwrite_what_its_successor_wrote(
    processes: Processes, workers: Make, folder: Path
) -> None:
    asker = workers(begin=False)
    activity = start(asker, folder, hold="after")
    paused = processes.start()
    until(lambda: "effect" in journal.entries(folder))
    os.kill(paused.pid, signal.SIGSTOP)
    processes.start()
    until(lambda: journal.runs(folder) == 2)
    (folder / "go").touch()
    ends(asker, activity, "completed")
    before = asker.get("shop", activity)
    lines = texts(asker, activity)
    os.kill(paused.pid, signal.SIGCONT)
    until(lambda: journal.entries(folder).count("returns") == 2, "the end of the paused run")
    paused.terminate()
    paused.wait()
    after = asker.get("shop", activity)
    assert (after.finished_at, after.attempt, after.state) == (before.finished_at, 2, "completed")
    assert texts(asker, activity) == lines


def test_writes_of_an_old_attempt_are_fenced(database: Database, workers: Make, folder: Path) -> None:
    activity = start(workers(begin=False), folder)
    queue = queue_of(database, lease_s=0.0)
    old = claimed(queue, "paused")
    new = claimed(queue, "successor")
    assert (old.id, old.attempt, new.attempt) == (activity, 1, 2)
    log = LogLength(5, 50)
    assert queue.save(old, 0.9, [], log) is None
    assert not queue.finish(old, "failed", [], log, error={"code": "late"})
    assert not queue.release(old)
    assert state(workers(begin=False), activity) == "running"
    # The control: the same words under the newest attempt do count.
    assert queue.save(new, 0.9, [], log) is not None
    assert queue.finish(new, "completed", [], log, result={"by": "successor"})
    assert not queue.finish(new, "failed", [], log)


def test_after_so_many_deaths_it_has_failed(database: Database, workers: Make, folder: Path) -> None:
    asker = workers(begin=False)
    activity = start(asker, folder)
    queue = queue_of(database, lease_s=0.0)
    assert [claimed(queue, "dies").attempt for _ in range(3)] == [1, 2, 3]
    assert queue.claim(KINDS, "fourth") is None
    row = asker.get("shop", activity)
    assert (row.state, row.attempt) == ("failed", 3)
    assert row.error is not None
    assert row.error["code"] == "interrupted"


def test_what_was_cancelled_while_nobody_held_it_is_not_begun_again(
    database: Database, workers: Make, folder: Path
) -> None:
    asker = workers(begin=False)
    activity = start(asker, folder)
    queue = queue_of(database, lease_s=0.0)
    claimed(queue, "dies")
    assert asker.cancel("shop", activity, BY).state == "running"
    assert queue.claim(KINDS, "next") is None
    assert state(asker, activity) == "cancelled"


def test_alone_a_process_takes_up_at_once_what_the_one_before_left(
    database: Database, workers: Make, folder: Path
) -> None:
    activity = start(workers(begin=False), folder)
    claimed(queue_of(database, lease_s=3600.0), "killed")
    # The control: without the word, the lease of the dead holds for an hour.
    assert queue_of(database).claim(KINDS, "patient") is None
    workers(begin=False).begin(alone=True)
    ends(workers(begin=False), activity, "completed")
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ActivityRow)) == 1
