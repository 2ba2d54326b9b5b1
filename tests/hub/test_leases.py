"""Hubs that share work by leases in one database: who comes, who goes, who is killed."""

import time
from collections.abc import Callable

from sqlalchemy.orm import Session

from cloud_hub.cluster.leases import Leases, others_here
from cloud_hub.cluster.share import Alone
from cloud_hub.cluster.work import all_work, ingest
from cloud_hub.db.engine import Database

WORK = all_work(3)


def hub(database: Database, number: int, lease_s: float = 60.0) -> Leases:
    return Leases(database, f"10.0.0.{number}:6222", WORK, lease_s=lease_s)


def held(*hubs: Leases) -> list[str]:
    return sorted(work for each in hubs for work in WORK if each.holds(work))


def test_the_first_has_all_until_others_come_and_each_work_is_one_hubs(database: Database) -> None:
    one, two, three = hub(database, 1), hub(database, 2), hub(database, 3)
    assert not one.holds(ingest(0))
    assert one.beat() == set(WORK)
    for _ in range(2):
        for each in (two, one, three, two):
            each.beat()
        assert held(one, two, three) == sorted(set(held(one, two, three))), "two hold the same"
    assert held(one, two, three) == sorted(WORK)
    assert sorted(len(held(each)) for each in (one, two, three)) == [2, 2, 2]
    assert {member.address: member.here for member in three.members()} == {
        f"10.0.0.{number}:6222": True for number in (1, 2, 3)
    }
    assert sorted(work for member in three.members() for work in member.work) == sorted(WORK)


def test_who_leaves_gives_its_work_up_at_once(database: Database) -> None:
    one, two = hub(database, 1), hub(database, 2)
    for each in (one, two, one, two):
        each.beat()
    one.leave()
    assert held(one) == []
    assert two.beat() == set(WORK)
    assert [member.address for member in two.members()] == ["10.0.0.2:6222"]


def test_the_work_of_a_killed_hub_is_taken_over_when_its_lease_has_run_out(database: Database) -> None:
    killed, other = hub(database, 1, lease_s=0.5), hub(database, 2, lease_s=0.5)
    assert killed.beat() == set(WORK)
    assert other.beat() == set()
    until(lambda: other.beat() == set(WORK))
    assert held(killed) == [], "by its own clock too"
    members = {member.address: member for member in other.members()}
    assert not members["10.0.0.1:6222"].here
    assert members["10.0.0.1:6222"].work == ()


def test_a_hub_that_starts_again_does_not_wait_for_its_own_old_lease(database: Database) -> None:
    assert hub(database, 1).beat() == set(WORK)
    assert hub(database, 1).beat() == set(WORK)


def test_others_are_those_with_another_address_seen_lately(database: Database) -> None:
    def others(session: Session) -> list[str]:
        return others_here(session, "10.0.0.1:6222")

    hub(database, 1).beat()
    with database.reading() as session:
        assert others(session) == []
    hub(database, 2).beat()
    with database.reading() as session:
        assert others(session) == ["10.0.0.2:6222"]
        assert others_here(session, "10.0.0.1:6222", within_s=-1) == []


def test_one_hub_alone_does_everything() -> None:
    alone = Alone("https://localhost:8443", WORK)
    assert all(alone.holds(work) for work in WORK)
    assert not alone.holds("something else")
    (member,) = alone.members()
    assert (member.here, member.work) == (True, WORK)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
