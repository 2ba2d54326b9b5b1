"""Activities in one process: states, log, cancel, failure, an orderly stop; on both databases."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.activities.kinds import Kind, Progress
from cloud_hub.activities.log_lines import CUT, MAX_LINE_BYTES, MAX_LINES, MAX_LOG_BYTES, LogLength
from cloud_hub.activities.service import Activities
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, NotFoundError
from contract.errors import HeadlandError
from tests.activities import journal
from tests.activities.waiting import until
from tests.hub.acting import BY, audit

Make = Callable[..., Activities]


def start(activities: Activities, folder: Path, **parameters: Any) -> str:
    row = activities.start("shop", journal.NAME, "ana", {"folder": str(folder), **parameters})
    return row.id


def state(activities: Activities, activity: str) -> str:
    return activities.get("shop", activity).state


def ends(activities: Activities, activity: str, wanted: str) -> None:
    until(lambda: activities.get("shop", activity).finished_at is not None, "the end")
    assert state(activities, activity) == wanted


def texts(activities: Activities, activity: str) -> list[str]:
    return [line.text for line in activities.log("shop", activity)[1]]


def test_an_activity_goes_from_queued_to_completed_with_its_log(workers: Make, folder: Path) -> None:
    activities = workers(begin=False)
    activity = start(activities, folder)
    assert state(activities, activity) == "queued"
    activities.begin()
    ends(activities, activity, "completed")
    row = activities.get("shop", activity)
    assert (row.progress, row.attempt, row.result, row.holder) == (1.0, 1, {"steps": 3}, None)
    assert row.started_at is not None
    assert texts(activities, activity) == ["step 0", "step 1", "step 2"]
    assert journal.runs(folder) == 1


def test_the_oldest_comes_first_and_as_many_at_once_as_are_allowed(workers: Make, tmp_path: Path) -> None:
    activities = workers(at_once=1, begin=False)
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    first, second, third = (start(activities, folder, hold=0) for folder in folders)
    activities.begin()
    until(lambda: journal.runs(folders[0]) == 1)
    assert [state(activities, each) for each in (first, second, third)] == ["running", "queued", "queued"]
    for folder in folders:
        (folder / "go").touch()
    for each in (first, second, third):
        ends(activities, each, "completed")
    begun = [activities.get("shop", each).started_at for each in (first, second, third)]
    assert begun == sorted(begun, key=str)


def test_an_error_is_told_with_its_code_and_one_of_ours_without_words(database: Database) -> None:
    class PlantedError(HeadlandError):
        code = "planted"

    def refuse(_parameters: dict[str, Any], _progress: Progress) -> dict[str, Any]:
        raise PlantedError("it is broken", where="here", fix="Mend it.")

    def crash(_parameters: dict[str, Any], _progress: Progress) -> dict[str, Any]:
        raise KeyError("secret of ours")

    activities = Activities(database, audit(database), at_once=1)
    activities.register(Kind("refuses", refuse))
    activities.register(Kind("crashes", crash))
    activities.begin()
    try:
        told = []
        for kind in ("refuses", "crashes"):
            activity = activities.start("shop", kind, "ana", {}).id
            ends(activities, activity, "failed")
            told.append(activities.get("shop", activity).error)
    finally:
        activities.close()
    assert told[0] == {"code": "planted", "detail": "it is broken", "where": "here", "fix": "Mend it."}
    assert told[1] is not None
    assert told[1]["code"] == "internal"
    assert "secret" not in str(told[1])


def test_what_waits_is_cancelled_at_once_and_never_run(workers: Make, folder: Path) -> None:
    activities = workers(begin=False)
    activity = start(activities, folder)
    assert activities.cancel("shop", activity, BY).state == "cancelled"
    assert activities.cancel("shop", activity, BY).state == "cancelled"
    activities.begin()
    other = start(activities, folder)
    ends(activities, other, "completed")
    assert journal.runs(folder) == 1


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same process", "another process"])
def test_what_runs_is_cancelled_at_its_next_step(workers: Make, folder: Path, elsewhere: bool) -> None:
    activities = workers(lease_s=6.0)
    activity = start(activities, folder, hold=1)
    until(lambda: "step 1" in journal.entries(folder))
    asker = workers(begin=False) if elsewhere else activities
    assert asker.cancel("shop", activity, BY).state == "running"
    ends(activities, activity, "cancelled")
    assert not (folder / "effect").exists()
    assert asker.cancel("shop", activity, BY).state == "cancelled"


def test_what_hears_no_cancel_completes(workers: Make, folder: Path) -> None:
    activities = workers()
    activity = start(activities, folder, hold=2, hears=False)
    until(lambda: "step 2" in journal.entries(folder))
    activities.cancel("shop", activity, BY)
    (folder / "go").touch()
    ends(activities, activity, "completed")
    with pytest.raises(ConflictError, match="completed already"):
        activities.cancel("shop", activity, BY)


def test_an_orderly_stop_puts_it_back_and_counts_no_attempt(workers: Make, folder: Path) -> None:
    for stop in range(3):
        activities = workers(max_attempts=1)
        activity = activities.all_in("shop")[0].id if stop else start(activities, folder, hold=1)
        until(lambda n=stop: journal.runs(folder) == n + 1)  # type: ignore[misc]
        activities.close()
        assert state(activities, activity) == "queued"
    (folder / "go").touch()
    activities = workers(max_attempts=1)
    ends(activities, activity, "completed")
    assert activities.get("shop", activity).attempt == 4
    assert "attempt 2: the hub stopped during the one before" in texts(activities, activity)


def test_filters_and_pages(workers: Make, folder: Path) -> None:
    activities = workers(begin=False)
    ids = [start(activities, folder) for _ in range(5)]
    activities.cancel("shop", ids[1], BY)
    assert [row.id for row in activities.all_in("shop", states=["cancelled"])] == [ids[1]]
    assert activities.all_in("shop", kind="other") == []
    pages, before = [], None
    while page := activities.all_in("shop", limit=2, before=before):
        pages.append([row.id for row in page])
        before = page[-1].id
    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    with pytest.raises(NotFoundError):
        activities.all_in("shop", before="nothing")


def test_an_activity_of_another_workspace_is_not_there(workers: Make, folder: Path) -> None:
    activities = workers(begin=False)
    activity = start(activities, folder)
    with pytest.raises(NotFoundError):
        activities.get("lab", activity)
    with pytest.raises(NotFoundError):
        activities.cancel("lab", activity, BY)


def test_a_kind_is_registered_once_and_before_the_work_begins(workers: Make) -> None:
    activities = workers(begin=False)
    with pytest.raises(ValueError, match="twice"):
        activities.register(journal.kind())
    with pytest.raises(LookupError):
        activities.start("shop", "unknown", "ana", {})


def test_a_log_is_bounded_and_says_so(database: Database) -> None:
    gate = threading.Event()

    def chatter(_parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
        for n in range(MAX_LINES + 500):
            progress(0.5, f"line {n}")
        gate.set()
        return {}

    activities = Activities(database, audit(database), at_once=1)
    activities.register(Kind("chatter", chatter))
    activities.begin()
    try:
        activity = activities.start("shop", "chatter", "ana", {}).id
        ends(activities, activity, "completed")
        lines = activities.log("shop", activity)[1]
    finally:
        activities.close()
    assert gate.is_set()
    assert [line.number for line in lines] == list(range(1, MAX_LINES + 1))
    assert [line.text for line in lines[-2:]] == [f"line {MAX_LINES - 2}", CUT]


def test_bytes_are_bounded_too_and_control_characters_go() -> None:
    from datetime import UTC, datetime

    log, now, found = LogLength(), datetime.now(UTC), []
    for _ in range(200):
        found += log.next_lines("é" * MAX_LINE_BYTES, now)
    assert found[-1].text == CUT
    assert sum(len(line.text.encode()) + 1 for line in found) <= MAX_LOG_BYTES + len(CUT) + 1
    assert log.next_lines("more", now) == []
    assert [line.text for line in LogLength().next_lines("a\x1b[31mb\nc\r\n", now)] == ["a [31mb", "c"]
