"""What a full outbox gives up, by each stream's priority, time to live and policy; and that it counts it."""

import re
import sqlite3
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.outbox import sqlite
from agent.outbox.policy import Head, Policies, StreamPolicy, Victim, victim
from agent.outbox.port import OutboxFullError
from agent.outbox.room import ROW_BYTES
from agent.outbox.sqlite import SqliteOutbox
from agent.settings import load
from contract.messages import StreamDrops
from tests.agent.settings_file import refused

BODY = b"7777"
SAMPLE_BYTES = len(BODY) + ROW_BYTES
SECOND_US = 1_000_000


class Box:
    """An outbox with room for ``samples`` samples, with a clock that is set by hand."""

    def __init__(self, path: Path, samples: int, **streams: StreamPolicy) -> None:
        self.now_us = 0
        self._number = 0
        self.outbox = SqliteOutbox(
            path,
            max_bytes=samples * SAMPLE_BYTES,
            policies=Policies(streams=streams),
            age_us=lambda at_us: self.now_us - at_us,
        )

    def put(self, stream: str, samples: int = 1, *, number: int | None = None) -> int:
        self._number += 1
        times = (self.now_us,) * samples
        number = number or self._number
        return self.outbox.put(stream, "p", number, times, (msgspec.Raw(BODY),) * samples)

    def held(self, stream: str) -> list[int]:
        found: list[int] = []
        while (batch := self.outbox.batch(stream, found[-1] if found else 0, 100)) is not None:
            found += range(batch.first, batch.last + 1)
        return found

    def drops(self) -> dict[str, StreamDrops]:
        streams = self.outbox.report().streams
        return {} if isinstance(streams, msgspec.UnsetType) else {drops.stream: drops for drops in streams}


def policy(priority: int = 5, on_full: str = "oldest", ttl_s: float = 0.0) -> StreamPolicy:
    return msgspec.convert({"priority": priority, "on_full": on_full, "ttl_s": ttl_s}, StreamPolicy)


def test_lower_priorities_give_way_first_whatever_is_older(tmp_path: Path) -> None:
    box = Box(tmp_path / "o.db", 6, low=policy(1), middle=policy(4), high=policy(9))
    for box.now_us, stream in enumerate(["high", "middle", "low"]):
        box.put(stream, 2)
    box.put("high", 3)
    assert (box.held("low"), box.held("middle"), box.held("high")) == ([], [2], [1, 2, 3, 4, 5])
    assert box.drops() == {
        "low": StreamDrops(stream="low", evicted=2),
        "middle": StreamDrops(stream="middle", evicted=1),
    }
    assert box.outbox.report().dropped == 3


def test_a_sample_never_costs_one_of_a_higher_priority(tmp_path: Path) -> None:
    box = Box(tmp_path / "o.db", 3, low=policy(1), high=policy(9))
    box.put("high", 3)
    assert box.put("low", 2) == 2
    assert (box.held("high"), box.held("low")) == ([1, 2, 3], [])
    assert box.drops() == {"low": StreamDrops(stream="low", evicted=2)}


def test_newest_keeps_what_is_stored_and_counts_what_comes(tmp_path: Path) -> None:
    box = Box(tmp_path / "o.db", 4, s=policy(on_full="newest"))
    assert box.put("s", 3) == 3
    assert box.put("s", 3) == 1
    assert box.put("s") == 0
    assert box.held("s") == [1, 2, 3, 4]
    assert box.drops() == {"s": StreamDrops(stream="s", incoming=3)}
    box.outbox.acknowledge("s", 4)
    box.put("s")
    assert box.held("s") == [8], "what was not stored used its sequences: the hub sees the hole"


def test_refuse_tells_the_module_and_the_same_hand_over_is_taken_later(tmp_path: Path) -> None:
    box = Box(tmp_path / "o.db", 3, s=policy(on_full="refuse"))
    box.put("s", 2, number=1)
    for _ in range(2):
        with pytest.raises(OutboxFullError) as caught:
            box.put("s", 2, number=2)
        assert (caught.value.code, caught.value.retriable) == ("outbox-full", True)
    assert box.held("s") == [1, 2]
    assert box.drops() == {"s": StreamDrops(stream="s", refused=2)}
    assert box.outbox.report().dropped == 0
    box.outbox.acknowledge("s", 1)
    assert box.put("s", 2, number=2) == 2
    assert box.put("s", 2, number=2) == 0
    assert box.held("s") == [2, 3, 4]


def test_a_refused_hand_over_costs_nobody_anything(tmp_path: Path) -> None:
    box = Box(tmp_path / "o.db", 3, low=policy(1), s=policy(on_full="refuse"))
    box.put("low")
    box.put("s", 2)
    with pytest.raises(OutboxFullError):
        box.put("s", 2)
    assert box.held("low") == [1]
    box.put("s")
    assert box.held("low") == []


@pytest.mark.parametrize("on_full", ["newest", "refuse"])
def test_for_higher_priorities_such_streams_give_their_newest(tmp_path: Path, on_full: str) -> None:
    box = Box(tmp_path / "o.db", 4, low=policy(1, on_full), high=policy(9))
    box.put("low", 4)
    box.put("high", 2)
    assert (box.held("low"), box.held("high")) == ([1, 2], [1, 2])
    box.outbox.acknowledge("high", 2)
    box.put("low")
    assert box.held("low") == [1, 2, 5]
    assert box.drops() == {"low": StreamDrops(stream="low", evicted=2)}


def test_what_has_expired_goes_first_and_only_as_far_as_needed(tmp_path: Path) -> None:
    box = Box(tmp_path / "o.db", 4, low=policy(1), high=policy(9, ttl_s=10))
    box.put("high", 3)
    box.put("low")
    box.now_us = 11 * SECOND_US
    box.put("low", 2)
    assert (box.held("high"), box.held("low")) == ([3], [1, 2, 3])
    assert box.drops() == {"high": StreamDrops(stream="high", expired=2)}


def test_expiry_drops_what_is_older_than_the_time_to_live_and_no_more(tmp_path: Path) -> None:
    box = Box(tmp_path / "o.db", 5000, s=policy(ttl_s=10), other=policy())
    box.put("s", 1200)
    box.put("other")
    box.now_us = 5 * SECOND_US
    box.put("s")
    box.now_us = 10 * SECOND_US
    box.outbox.expire()
    assert box.drops() == {}
    box.now_us += 1
    box.outbox.expire()
    assert (box.held("s"), box.held("other")) == ([1201], [1])
    assert box.drops() == {"s": StreamDrops(stream="s", expired=1200)}
    assert box.outbox.report().dropped == 1200


def test_counters_survive_a_restart(tmp_path: Path) -> None:
    box = Box(tmp_path / "o.db", 1)
    box.put("s", 3)
    before = box.outbox.report()
    box.outbox.close()
    assert before.dropped == 2
    assert Box(tmp_path / "o.db", 1).outbox.report() == before


def test_a_report_names_the_streams_that_lost_most_and_no_more_than_32(tmp_path: Path) -> None:
    box = Box(tmp_path / "o.db", 1)
    for i in range(40):
        box.put(f"s{i}", 2 + i)
    assert sorted(box.drops()) == sorted(f"s{i}" for i in range(8, 40))


OF_THE_FIRST_RELEASE = """
PRAGMA journal_mode=WAL;
CREATE TABLE outbox (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL,
    pending INTEGER NOT NULL, pending_bytes INTEGER NOT NULL, dropped INTEGER NOT NULL);
CREATE TABLE streams (stream TEXT PRIMARY KEY, last INTEGER NOT NULL, mark INTEGER NOT NULL);
CREATE TABLE samples (stream TEXT NOT NULL, seq INTEGER NOT NULL, at_us INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE producers (producer TEXT PRIMARY KEY, number INTEGER NOT NULL, used INTEGER NOT NULL);
INSERT INTO outbox VALUES (1, 'eeee', 2, 136, 7);
INSERT INTO streams VALUES ('s', 9, 7);
INSERT INTO samples VALUES ('s', 8, 1, x'37373737'), ('s', 9, 2, x'37373737');
INSERT INTO producers VALUES ('p', 3, 1);
"""


def test_an_outbox_of_the_first_release_is_taken_over_whole(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "o.db")
    db.executescript(OF_THE_FIRST_RELEASE)
    db.close()
    box = Box(tmp_path / "o.db", 3)
    assert (box.outbox.epoch, box.outbox.mark("s"), box.held("s")) == ("eeee", 7, [8, 9])
    assert box.put("s", number=3) == 0, "a known hand-over"
    box.put("s", 2, number=4)
    assert box.held("s") == [9, 10, 11]
    report = box.outbox.report()
    assert (report.pending, report.dropped) == (3, 8)
    assert box.drops() == {"s": StreamDrops(stream="s", evicted=1)}


def test_an_older_release_reads_the_file_of_this_one(tmp_path: Path) -> None:
    """Every table that it knows is as it was: a device that goes back loses nothing."""
    box = Box(tmp_path / "o.db", 1)
    box.put("s", 2)
    box.outbox.close()
    old, new = sqlite3.connect(":memory:"), sqlite3.connect(tmp_path / "o.db")
    old.executescript(OF_THE_FIRST_RELEASE)
    for table in ("outbox", "streams", "samples", "producers"):
        info = f"PRAGMA table_info({table})"
        assert old.execute(info).fetchall() == new.execute(info).fetchall()
    assert sqlite.SCHEMA.count("CREATE TABLE") == 4


STREAMS = {
    "a": policy(0, "newest"),
    "b": policy(3, "refuse", ttl_s=5),
    "c": policy(3),
    "d": policy(3, "newest"),
    "e": policy(9, ttl_s=9),
}
CALLS = st.lists(
    st.tuples(st.sampled_from(sorted(STREAMS)), st.integers(1, 5), st.integers(0, 3)), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(CALLS)
def test_every_sample_is_held_or_counted_and_the_bound_holds(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, int, int]]
) -> None:
    box = Box(tmp_path_factory.mktemp("o") / "o.db", 7, **STREAMS)
    given_to: dict[str, int] = dict.fromkeys(STREAMS, 0)
    for stream, samples, seconds in calls:
        box.now_us += seconds * SECOND_US
        try:
            box.put(stream, samples)
        except OutboxFullError:
            continue
        given_to[stream] += samples
        if seconds == 3:
            box.outbox.expire()
    held = {stream: len(box.held(stream)) for stream in STREAMS}
    lost = {name: d.evicted + d.incoming + d.expired for name, d in box.drops().items()}
    assert {stream: held[stream] + lost.get(stream, 0) for stream in STREAMS} == given_to
    report = box.outbox.report()
    assert report.pending == sum(held.values()) <= 7
    assert report.dropped == sum(lost.values())
    box.outbox.close()


def test_victims_by_priority_then_by_age_and_equals_only_among_those_that_drop_their_oldest() -> None:
    policies = Policies(streams=STREAMS)
    heads = [Head("e", 0), Head("d", 1), Head("c", 5), Head("b", 2)]
    assert victim(heads, "c", policies) == Victim("c", newest=False)
    assert victim(heads, "d", policies) is None
    assert victim([*heads, Head("a", 9)], "d", policies) == Victim("a", newest=True)
    assert victim(heads, "e", policies) == Victim("d", newest=True)
    assert victim([], "e", policies) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[outbox.streams.s]\npriority = 10", "priority"),
        ("[outbox.streams.s]\npriority = -1", "priority"),
        ("[outbox.streams.s]\nttl_s = -1.0", "ttl_s"),
        ('[outbox.streams.s]\non_full = "drop"', "on_full"),
        ("[outbox.streams.s]\nprio = 1", "prio"),
        ('[outbox.streams."Not-A-Stream"]\npriority = 1', "streams"),
        ("[outbox.default]\npriority = 5.5", "default.priority"),
    ],
)
def test_settings_of_streams_are_strict(tmp_path: Path, text: str, named: str) -> None:
    assert re.search(named, refused(tmp_path, text))


def test_settings_of_streams_are_read(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        '[outbox.default]\npriority = 2\n[outbox.streams.alarms]\npriority = 9\non_full = "refuse"\n'
    )
    read = load(path).outbox
    policies = Policies(read.default, read.streams)
    assert policies.of("alarms") == policy(9, "refuse")
    assert policies.of("other") == policy(2)
