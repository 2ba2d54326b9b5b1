"""The outbox on disk: nothing acknowledged is lost, nothing is stored twice, the bound holds."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.outbox.port import OutboxError
from agent.outbox.sqlite import SqliteOutbox
from contract.messages import Batch

BIG = 1 << 20


def bodies(*values: int) -> tuple[msgspec.Raw, ...]:
    return tuple(msgspec.Raw(str(value).encode()) for value in values)


def put(outbox: SqliteOutbox, number: int, *values: int, producer: str = "p", stream: str = "s") -> int:
    return outbox.put(stream, producer, number, tuple(values), bodies(*values))


def everything(outbox: SqliteOutbox, stream: str = "s") -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    after = 0
    while (batch := outbox.batch(stream, after, 3)) is not None:
        assert batch.first > after
        found |= {batch.first + i: bytes(body) for i, body in enumerate(batch.bodies)}
        after = batch.last
    return found


@pytest.fixture
def outbox(tmp_path: Path) -> SqliteOutbox:
    return SqliteOutbox(tmp_path / "outbox.db", max_bytes=BIG)


def test_samples_keep_their_order_and_get_sequences_without_holes(outbox: SqliteOutbox) -> None:
    assert put(outbox, 1, 10, 11) == 2
    assert put(outbox, 2, 12) == 1
    assert everything(outbox) == {1: b"10", 2: b"11", 3: b"12"}
    assert outbox.report().pending == 3


def test_streams_do_not_share_sequences(outbox: SqliteOutbox) -> None:
    put(outbox, 1, 1, stream="a")
    put(outbox, 2, 2, stream="b")
    assert outbox.streams() == ("a", "b")
    assert everything(outbox, "a") == {1: b"1"}
    assert everything(outbox, "b") == {1: b"2"}


def test_a_hand_over_that_comes_again_is_stored_once(outbox: SqliteOutbox) -> None:
    assert put(outbox, 1, 5, 6) == 2
    assert put(outbox, 1, 5, 6) == 0
    assert put(outbox, 1, 7, producer="another") == 1
    assert everything(outbox) == {1: b"5", 2: b"6", 3: b"7"}


def test_an_acknowledgement_frees_samples_and_survives_a_restart(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "o.db", max_bytes=BIG)
    put(outbox, 1, 1, 2, 3)
    outbox.acknowledge("s", 2)
    epoch = outbox.epoch
    outbox.close()
    again = SqliteOutbox(tmp_path / "o.db", max_bytes=BIG)
    assert again.mark("s") == 2
    assert everything(again) == {3: b"3"}
    assert again.epoch == epoch
    put(again, 2, 4)
    assert everything(again) == {3: b"3", 4: b"4"}


def test_sequences_are_not_used_again_after_all_was_acknowledged(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "o.db", max_bytes=BIG)
    put(outbox, 1, 1, 2)
    outbox.acknowledge("s", 2)
    outbox.close()
    again = SqliteOutbox(tmp_path / "o.db", max_bytes=BIG)
    put(again, 2, 3)
    assert everything(again) == {3: b"3"}


def test_a_mark_beyond_what_was_ever_stored_begins_a_new_epoch(
    outbox: SqliteOutbox,
) -> None:
    """An older copy of the disk is back: the hub would take the next samples for known ones."""
    put(outbox, 1, 1)
    epoch = outbox.epoch
    assert outbox.acknowledge("s", 99) == 0
    assert outbox.mark("s") == 0
    assert outbox.epoch != epoch
    put(outbox, 2, 2)
    assert everything(outbox) == {1: b"1", 2: b"2"}


def test_the_bound_holds_for_the_smallest_samples_too(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "o.db", max_bytes=1 << 20)
    for number in range(1, 61):
        assert outbox.put("s", "p", number, (1,) * 500, (msgspec.Raw(b"1"),) * 500) == 500
    report = outbox.report()
    assert report.dropped > 0
    assert report.pending + report.dropped == 30_000


def test_beyond_the_bound_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "o.db", max_bytes=10 * (4 + 64))
    for number in range(1, 21):
        put(outbox, number, 1000 + number)
    report = outbox.report()
    left = everything(outbox)
    assert report.pending == len(left) == 10
    assert report.dropped == 10
    assert min(left) == 11
    batch = outbox.batch("s", 0, 100)
    assert batch is not None
    assert (batch.after, batch.first) == (0, 11)


def test_a_batch_holds_only_consecutive_samples(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "o.db", max_bytes=BIG)
    put(outbox, 1, *range(10))
    batch = outbox.batch("s", 3, 4)
    assert isinstance(batch, Batch)
    assert (batch.first, batch.last) == (4, 7)
    assert outbox.batch("s", 10, 4) is None


def test_a_batch_stays_below_what_the_broker_takes(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "o.db", max_bytes=8 * BIG)
    large = msgspec.Raw(b'"' + b"x" * (200 * 1024) + b'"')
    outbox.put("s", "p", 1, (1, 2, 3, 4, 5), (large,) * 5)
    batch = outbox.batch("s", 0, 100)
    assert batch is not None
    assert (batch.first, batch.last) == (1, 2)


def test_a_damaged_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "o.db").write_bytes(b"not a database" * 1000)
    outbox = SqliteOutbox(tmp_path / "o.db", max_bytes=BIG)
    with pytest.raises(OutboxError, match="cannot open the outbox"):
        put(outbox, 1, 1)
    with pytest.raises(OutboxError, match="cannot open the outbox"):
        outbox.report()
    assert outbox.epoch == ""
    (tmp_path / "o.db").unlink()
    assert put(outbox, 1, 1) == 1, "it is opened when it can be"
    assert outbox.epoch
    outbox.close()


def test_a_hand_over_with_one_time_missing_stores_nothing(outbox: SqliteOutbox) -> None:
    with pytest.raises(ValueError, match="one time for each body"):
        outbox.put("s", "p", 1, (1,), bodies(1, 2))
    assert outbox.report().pending == 0
    assert put(outbox, 1, 1) == 1


def test_threads_may_put_at_once(outbox: SqliteOutbox) -> None:
    def work(producer: int) -> None:
        for number in range(1, 26):
            put(outbox, number, producer * 100 + number, producer=f"p{producer}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = everything(outbox)
    assert sorted(found) == list(range(1, 101))
    assert len(set(found.values())) == 100


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), max_size=20))
def test_counters_always_agree_with_the_rows(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, int]]
) -> None:
    outbox = SqliteOutbox(tmp_path_factory.mktemp("o") / "o.db", max_bytes=300)
    taken = 0
    for number, count in calls:
        taken += put(outbox, number, *([7777] * count))
        outbox.acknowledge("s", number)
    report = outbox.report()
    assert report.pending == len(everything(outbox))
    assert report.pending + report.dropped <= taken
    outbox.close()


WRITER = """
import sys, msgspec
from pathlib import Path
from agent.outbox.sqlite import SqliteOutbox
outbox = SqliteOutbox(Path(sys.argv[1]), max_bytes=1 << 20)
number = 0
while True:
    number += 1
    outbox.put("s", "p", number, (number,), (msgspec.Raw(str(number).encode()),))
    print(number, flush=True)
"""


@pytest.mark.parametrize("lines_before_the_kill", [1, 7, 40])
def test_what_was_acknowledged_to_the_module_survives_a_kill(
    tmp_path: Path, lines_before_the_kill: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "o.db")], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        acknowledged = 0
        for _ in range(lines_before_the_kill):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    found = everything(SqliteOutbox(tmp_path / "o.db", max_bytes=BIG))
    assert len(found) >= acknowledged
    assert list(found.values()) == [str(i).encode() for i in range(1, len(found) + 1)]
