"""Deliveries to a receiver that fails, hangs, floods or redirects: each arrives, signed, in order."""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from cloud_hub.activities.kinds import Kind
from cloud_hub.activities.rows import ActivityRow
from cloud_hub.activities.service import Activities
from cloud_hub.db.clock import moment
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, InvalidInputError, NotFoundError
from cloud_hub.webhooks.deliverer import Deliverer
from cloud_hub.webhooks.guarded_outbound import GuardedOutbound
from cloud_hub.webhooks.key_sealed_text import KeySealedText
from cloud_hub.webhooks.rows import DeliveryRow, WebhookRow
from cloud_hub.webhooks.rules import Schedule
from cloud_hub.webhooks.service import MOST, Webhooks
from tests.activities.waiting import until
from tests.hub.acting import BY, audit
from tests.webhooks.conftest import KEY, LOOPBACK, QUICK
from tests.webhooks.receiver import NotGenuineError, Receiver, verify

Deliver = Callable[..., Deliverer]


def note(database: Database, webhooks: Webhooks, *numbers: int) -> None:
    for n in numbers:
        with database.transaction() as session:
            webhooks.note(session, "shop", "activity.test.completed", {"n": n})


def numbers(receiver: Receiver) -> list[int]:
    return [r.event["data"]["n"] for r in receiver.taken]


def states(webhooks: Webhooks, webhook: str) -> list[str]:
    return [row.state for row in reversed(webhooks.deliveries("shop", webhook))]


def test_what_happened_arrives_signed_and_in_order(
    database: Database, webhooks: Webhooks, receiver: Receiver, deliver: Deliver
) -> None:
    secret, row = webhooks.create("shop", receiver.url, [], BY)
    note(database, webhooks, *range(10))
    deliver()
    until(lambda: len(receiver.taken) == 10)
    assert numbers(receiver) == list(range(10))
    for received in receiver.received:
        verify(secret, received.headers, received.body)
        assert received.type == "activity.test.completed"
    assert len({received.id for received in receiver.received}) == 10
    until(lambda: states(webhooks, row.id) == ["delivered"] * 10)
    first = receiver.received[0]
    for body, headers in (
        (first.body + b" ", first.headers),
        (first.body, first.headers | {"webhook-id": "msg_other"}),
    ):
        with pytest.raises(NotGenuineError):
            verify(secret, headers, body)


@pytest.mark.parametrize("fault", [500, 404, "hang", "redirect"])
def test_what_fails_is_sent_again_under_the_same_id(
    database: Database, webhooks: Webhooks, receiver: Receiver, deliver: Deliver, fault: int | str
) -> None:
    receiver.behaviour = lambda n: fault if n < 2 else 200
    secret, row = webhooks.create("shop", receiver.url, [], BY)
    note(database, webhooks, 1, 2)
    deliver()
    until(lambda: len(receiver.taken) == 2)
    assert numbers(receiver) == [1, 2]  # what came later waited
    assert len(receiver.received) == 4
    assert len({received.id for received in receiver.received[:3]}) == 1
    for received in receiver.received:
        verify(secret, received.headers, received.body)
    until(lambda: states(webhooks, row.id) == ["delivered"] * 2)
    attempts = [d.attempts for d in reversed(webhooks.deliveries("shop", row.id))]
    assert attempts == [3, 1]


def test_an_endless_answer_is_not_read_to_its_end(
    database: Database, webhooks: Webhooks, receiver: Receiver, deliver: Deliver
) -> None:
    receiver.behaviour = lambda _n: "flood"
    _, row = webhooks.create("shop", receiver.url, [], BY)
    note(database, webhooks, 1)
    deliver()
    until(lambda: len(receiver.received) > 1)  # it counts as a failure, and is tried again
    assert states(webhooks, row.id) == ["waiting"]


def test_a_hook_that_hangs_does_not_hold_up_the_others(
    database: Database, webhooks: Webhooks, receiver: Receiver, deliver: Deliver
) -> None:
    hanging = Receiver(behaviour=lambda _n: "hang")
    hanging.start()
    try:
        webhooks.create("shop", hanging.url, [], BY)
        webhooks.create("shop", receiver.url, [], BY)
        note(database, webhooks, *range(5))
        deliver(Schedule(first_s=0.05, longest_s=0.4, timeout_s=30.0))
        until(lambda: len(receiver.taken) == 5)
    finally:
        hanging.stop()


def test_after_its_time_it_is_given_up_and_the_next_is_tried(
    database: Database, webhooks: Webhooks, receiver: Receiver, deliver: Deliver
) -> None:
    _, row = webhooks.create("shop", receiver.url, [], BY)
    note(database, webhooks, 1, 2)
    with database.transaction() as session:
        old = moment(session) - timedelta(seconds=QUICK.give_up_s)
        session.execute(update(DeliveryRow).where(DeliveryRow.sequence == 1).values(created_at=old))
    receiver.behaviour = lambda n: 500 if n == 0 else 200
    deliver()
    until(lambda: states(webhooks, row.id) == ["given-up", "delivered"])
    assert [d.status for d in webhooks.deliveries("shop", row.id)] == [200, 500]


def test_a_receiver_that_wants_no_more_is_left_alone(
    database: Database, webhooks: Webhooks, receiver: Receiver, deliver: Deliver
) -> None:
    receiver.behaviour = lambda _n: 410
    _, row = webhooks.create("shop", receiver.url, [], BY)
    note(database, webhooks, 1, 2)
    deliver()
    until(lambda: webhooks.all_in("shop")[0].state == "gone")
    note(database, webhooks, 3)
    assert states(webhooks, row.id) == ["given-up"] * 2
    assert len(receiver.received) == 1
    with pytest.raises(ConflictError):
        webhooks.test("shop", row.id)


def test_a_delivery_that_died_on_the_way_is_made_again(
    database: Database, webhooks: Webhooks, receiver: Receiver, deliver: Deliver
) -> None:
    """A process that was killed after the receiver had taken it, and before it could write that."""
    _, row = webhooks.create("shop", receiver.url, [], BY)
    note(database, webhooks, 1)
    dead = Deliverer(database, GuardedOutbound(LOOPBACK), KeySealedText(KEY), schedule=QUICK)
    with database.transaction() as session:
        attempt = dead._claim(session)
    assert attempt is not None
    assert dead._send(attempt).delivered
    idle = Deliverer(database, GuardedOutbound(LOOPBACK), KeySealedText(KEY), schedule=QUICK)
    assert not idle.deliver_one()  # the dead one's lease holds
    with database.transaction() as session:
        session.execute(update(WebhookRow).values(lease_until=moment(session) - timedelta(seconds=1)))
    deliver()
    until(lambda: states(webhooks, row.id) == ["delivered"])
    assert [received.id for received in receiver.received] == [receiver.received[0].id] * 2
    # It comes back and wants to say that it failed: another has taken over, so it does not count.
    with database.transaction() as session:
        dead._settle(session, attempt, dead._send(attempt).__class__(500, None))
    assert states(webhooks, row.id) == ["delivered"]


def test_several_deliverers_keep_the_order_of_a_hook(
    database: Database, webhooks: Webhooks, receiver: Receiver, deliver: Deliver
) -> None:
    receiver.behaviour = lambda n: 500 if n % 3 == 0 else 200
    webhooks.create("shop", receiver.url, [], BY)
    for _ in range(3):
        deliver()
    note(database, webhooks, *range(15))
    until(lambda: len(receiver.taken) == 15)
    assert numbers(receiver) == list(range(15))


def test_concurrent_events_are_numbered_without_a_gap(database: Database, webhooks: Webhooks) -> None:
    _, row = webhooks.create("shop", "https://h.example/x", [], BY)
    threads = [threading.Thread(target=note, args=(database, webhooks, *range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(d.sequence for d in webhooks.deliveries("shop", row.id)) == list(range(1, 21))


def test_an_event_lives_and_dies_with_the_transaction_of_what_happened(
    database: Database, webhooks: Webhooks
) -> None:
    _, row = webhooks.create("shop", "https://h.example/x", ["*.*.*"], BY)
    activities = Activities(database, audit(database), at_once=1, noted=webhooks.note_activity)
    activities.register(Kind("thing", lambda _p, _q: {}))

    class PlantedError(Exception):
        pass

    def start_and_fail() -> None:
        with database.transaction() as session:
            activities.start_in(session, "shop", "thing", "ana", {})
            raise PlantedError

    with pytest.raises(PlantedError):
        start_and_fail()
    assert activities.all_in("shop") == []
    assert webhooks.deliveries("shop", row.id) == []
    activities.begin()
    try:
        done = activities.start("shop", "thing", "ana", {})
        until(lambda: activities.get("shop", done.id).state == "completed")
    finally:
        activities.close()
    events = [d.event for d in reversed(webhooks.deliveries("shop", row.id))]
    assert events == [f"activity.thing.{state}" for state in ("queued", "running", "completed")]


def test_an_event_in_a_transaction_of_its_own_outlives_what_did_not_happen(
    database: Database, webhooks: Webhooks
) -> None:
    """The negative control of the test above: the judge does see an event without its cause."""
    _, row = webhooks.create("shop", "https://h.example/x", ["*.*.*"], BY)

    def note_apart(_session: Session, activity: ActivityRow) -> None:
        pending.append(activity)

    pending: list[ActivityRow] = []
    activities = Activities(database, audit(database), at_once=1, noted=note_apart)
    activities.register(Kind("thing", lambda _p, _q: {}))
    with database.transaction() as session:
        activities.start_in(session, "shop", "thing", "ana", {})
        session.expunge_all()
        session.get_transaction().rollback()  # type: ignore[union-attr]  # there is one
    with database.transaction() as session:
        webhooks.note_activity(session, pending[0])
    assert activities.all_in("shop") == []
    assert len(webhooks.deliveries("shop", row.id)) == 1


def test_addresses_and_events_are_checked(webhooks: Webhooks) -> None:
    for url in (
        "ftp://h.example/x", "https://", "h.example", "https://u:p@h.example/", "https://h.example/#x",
        "https://h.example/ x", "https://h.example:99999/", "https://h.example/" + "x" * 2_000, "https://é/",
    ):  # fmt: skip
        with pytest.raises(InvalidInputError):
            webhooks.create("shop", url, [], BY)
    for event in ("", "A.b", "a..b", "a.b c", "**", "a" * 201):
        with pytest.raises(InvalidInputError):
            webhooks.create("shop", "https://h.example/x", [event], BY)
    for _ in range(MOST):
        webhooks.create("shop", "https://h.example/x", ["activity.*.failed"], BY)
    with pytest.raises(ConflictError):
        webhooks.create("shop", "https://h.example/x", [], BY)


def test_a_deleted_webhook_is_told_nothing_more(
    database: Database, webhooks: Webhooks, receiver: Receiver, deliver: Deliver
) -> None:
    _, row = webhooks.create("shop", receiver.url, [], BY)
    note(database, webhooks, 1)
    with pytest.raises(NotFoundError):
        webhooks.delete("lab", row.id, BY)
    webhooks.delete("shop", row.id, BY)
    _, other = webhooks.create("shop", receiver.url, [], BY)
    note(database, webhooks, 2)
    deliver()
    until(lambda: states(webhooks, other.id) == ["delivered"])
    assert numbers(receiver) == [2]
    for call in (partial(webhooks.delete, by=BY), webhooks.deliveries, webhooks.test):
        with pytest.raises(NotFoundError):
            call("shop", row.id)
