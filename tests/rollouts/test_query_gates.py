"""Gates by query: the rules with their answers, and what asks them."""

import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from cloud_hub.errors import QueryError
from cloud_hub.rollouts.queries import Answered, QueryGate, judged
from cloud_hub.rollouts.questions import AGAIN_S, Questions, Watched, answered, tables_of
from cloud_hub.rollouts.waves import Member
from tests.rollouts.fleet import BAD, Fleet, rules

SLOW = QueryGate(name="p95", sql="SELECT 1", at_most=5)
GOOD = QueryGate(name="share", sql="SELECT 2", at_least=0.5, at_most=1)
AT = datetime(2026, 1, 1, tzinfo=UTC)


def answer(*values: float | None) -> tuple[Answered, ...]:
    return tuple(Answered(value=value) for value in values)


def fleet(says: Callable[[Fleet], tuple[Answered, ...] | None], **changed: object) -> Fleet:
    """Return two waves that are watched for ten seconds, with one gate unless said otherwise."""
    asked: dict[str, object] = {"bake_s": 10, "queries": (SLOW,)}
    return Fleet(rules(**asked | changed), [["a"], ["b"]], answers=says)


@pytest.mark.parametrize(
    ("answers", "failed", "waits", "passed"),
    [
        (answer(5, 1), "", "", "p95 is 5; share is 1"),
        (answer(5.1, 1), "p95 is 5.1, at most 5 may be", "", ""),
        (answer(5, 0.4), "share is 0.4, at least 0.5 and at most 1 may be", "", ""),
        (answer(9, 2), "p95 is 9, at most 5 may be; share is 2, at least 0.5 and at most 1 may be", "", ""),
        (answer(None, 0.4), "share is 0.4, at least 0.5 and at most 1 may be", "", ""),
        (answer(math.nan, 1), "p95 is nan, at most 5 may be", "", ""),
        (answer(1, None), "", "share has no answer", ""),
        ((Answered(problem="no table"), *answer(1)), "", "p95 has no answer: no table", ""),
    ],
)
def test_the_verdict(answers: tuple[Answered, ...], failed: str, waits: str, passed: str) -> None:
    found = judged((SLOW, GOOD), answers)
    assert (found.failed, found.waits, found.passed) == (failed, waits, passed)


def test_each_wave_is_asked_about_once_it_was_watched_and_goes_on() -> None:
    good = fleet(lambda now: answer(1) if now.asked else None)
    good.pass_time(11)
    assert (good.asked, good.standing.wave) == ([], 0), "it is watched first"
    good.until(lambda: good.standing.wave == 1)
    assert len(good.asked) == 1
    good.until(lambda: good.state == "done")
    assert good.standing.reason == "wave 2: p95 is 1"


@pytest.mark.parametrize(("on_failure", "state"), [("abort", "aborted"), ("pause", "paused")])
def test_a_bad_answer_stops_it_before_the_next_wave(on_failure: str, state: str) -> None:
    bad = fleet(lambda now: answer(6) if now.asked else None, on_failure=on_failure)
    bad.until(lambda: bad.state == state, 60)
    assert [device for _, device in bad.given] == ["a"]
    assert bad.standing.reason == "wave 1: p95 is 6, at most 5 may be"


def test_also_the_last_wave_is_judged_and_all_is_taken_back() -> None:
    late = fleet(lambda now: answer(6 if now.standing.wave else 1))
    late.until(lambda: late.state == "aborted", 60)
    assert late.taken_back == ["a", "b"]


def test_without_an_answer_it_waits_for_the_deadline_and_says_so() -> None:
    silent = fleet(lambda now: answer(None) if now.asked else None, deadline_s=60)
    silent.pass_time(70)
    assert (silent.state, silent.standing.reason) == ("running", "wave 1 waits: p95 has no answer")
    assert len(silent.asked) > 50, "it asks again each time"
    silent.until(lambda: silent.state == "aborted", 10)
    assert silent.standing.reason == "wave 1: p95 has no answer"


def test_an_answer_that_comes_late_lets_it_go_on() -> None:
    late = fleet(lambda now: answer(1 if len(now.asked) > 20 else None), deadline_s=60)
    late.until(lambda: late.state == "done", 200)


def test_who_resumes_lets_the_wave_pass_and_the_next_one_is_judged() -> None:
    bad = fleet(lambda _: answer(6), on_failure="pause")
    bad.until(lambda: bad.state == "paused", 60)
    bad.steer(state="running", reason="", passed=0)
    bad.until(lambda: bad.state == "paused", 60)
    assert (bad.standing.wave, bad.standing.reason) == (1, "wave 2: p95 is 6, at most 5 may be")


def test_a_wave_that_nobody_is_left_of_is_not_asked_about() -> None:
    gone = fleet(lambda _: answer(6))
    gone.set("a", state="superseded")
    gone.until(lambda: bool(gone.given))
    assert [device for _, device in gone.given] == ["b"]


def test_failures_stop_it_before_any_query() -> None:
    failing = Fleet(rules(queries=(SLOW,), bake_s=10), [["a"], ["b"]], {"a": BAD})
    failing.until(lambda: failing.state == "aborted", 60)
    assert failing.asked == []


@pytest.mark.parametrize(
    ("rows", "value", "problem"),
    [
        ([], None, ""),
        ([(None,)], None, ""),
        ([(2,)], 2.0, ""),
        ([(Decimal("0.5"),)], 0.5, ""),
        ([(True,)], 1.0, ""),
        ([(1,), (2,)], None, "2 rows of 1 columns, it must be one number"),
        ([(1, 2)], None, "1 rows of 2 columns, it must be one number"),
        ([(AT,)], None, "a datetime, it must be one number"),
        ([("x",)], None, "a str, it must be one number"),
    ],
)
def test_one_number_is_an_answer(rows: list[tuple[Any, ...]], value: float | None, problem: str) -> None:
    assert answered(rows) == Answered(value=value, problem=problem)


def test_the_tables_say_who_runs_it_and_who_was_not_given_it() -> None:
    members = [
        Member(device="before", wave=0, phase="moved", ran_at=AT),
        Member(device="runs", wave=1, phase="moved", ran_at=AT),
        Member(device="starts", wave=1, phase="moved"),
        Member(device="back", wave=1, phase="returned", ran_at=AT),
        Member(device="later", wave=2, phase="pending"),
    ]
    found = tables_of(1, members)
    assert found["wave"].to_pylist() == [{"device": "runs", "since": AT}]
    assert found["rest"].to_pylist() == [{"device": "later"}]


class Asked:
    """Answers queries when it is let."""

    def __init__(self) -> None:
        self.sql: list[str] = []
        self.free = threading.Event()
        self.rows: list[tuple[Any, ...]] = [(1,)]

    def __call__(self, workspace: str, sql: str, most_rows: int, **_: object) -> "Asked":
        assert (workspace, most_rows) == ("shop", 2)
        self.sql.append(sql)
        assert self.free.wait(10)
        if sql == "bad":
            raise QueryError("no such table", where="sql", fix="-")
        if sql == "worse":
            raise RuntimeError("password=hunter2")
        return self


def until(done: Callable[[], bool]) -> None:
    deadline = threading.Event()
    for _ in range(1000):
        if done():
            return
        deadline.wait(0.01)
    raise AssertionError("not within 10 s")


def test_it_is_asked_once_at_a_time_and_not_again_too_soon() -> None:
    query, clock = Asked(), [0.0]
    questions, here = Questions(query, lambda: clock[0]), Watched(1, 0, AT)
    for _ in range(3):
        questions.ask(here, "shop", (SLOW, GOOD), [])
    assert questions.latest(here) is None
    query.free.set()
    until(lambda: questions.latest(here) is not None)
    assert questions.latest(here) == answer(1, 1)
    assert query.sql == ["SELECT 1", "SELECT 2"]
    query.rows = [(7,)]
    clock[0] = AGAIN_S - 0.1
    questions.ask(here, "shop", (SLOW,), [])
    clock[0] = AGAIN_S
    questions.ask(here, "shop", (SLOW,), [])
    until(lambda: questions.latest(here) == answer(7))
    assert len(query.sql) == 3
    assert questions.latest(Watched(1, 0, None)) is None, "watched anew, it is asked anew"
    questions.keep([2])
    assert questions.latest(here) is None


def test_what_goes_wrong_is_no_answer_and_tells_no_secret() -> None:
    query = Asked()
    query.free.set()
    questions, here = Questions(query), Watched(1, 0, AT)
    gates = [QueryGate(name=sql, sql=sql, at_most=1) for sql in ("bad", "worse", "fine")]
    questions.ask(here, "shop", gates, [])
    until(lambda: questions.latest(here) is not None)
    unexpected = Answered(problem="unexpected RuntimeError, see the hub's log")
    assert questions.latest(here) == (Answered(problem="no such table"), unexpected, Answered(value=1))
