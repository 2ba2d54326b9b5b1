"""A receiver, and webhooks on both databases with a quick schedule."""

from collections.abc import Callable, Iterator

import pytest

from cloud_hub.db.engine import Database
from cloud_hub.outbound.policy import parse_allowed
from cloud_hub.webhooks.deliverer import Deliverer
from cloud_hub.webhooks.guarded_outbound import GuardedOutbound
from cloud_hub.webhooks.key_sealed_text import KeySealedText
from cloud_hub.webhooks.rules import Schedule
from cloud_hub.webhooks.service import Webhooks
from tests.activities.conftest import database, folder
from tests.hub.acting import audit
from tests.webhooks.receiver import Receiver

__all__ = ["database", "folder"]

QUICK = Schedule(first_s=0.05, longest_s=0.4, give_up_s=600.0, timeout_s=1.0)
KEY = b"k" * 32
LOOPBACK = parse_allowed(("127.0.0.1",))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def webhooks(database: Database) -> Webhooks:
    return Webhooks(database, KeySealedText(KEY), audit(database))


@pytest.fixture
def deliver(database: Database) -> Iterator[Callable[..., Deliverer]]:
    """Start a deliverer; all are stopped at the end."""
    made: list[Deliverer] = []

    def start(schedule: Schedule = QUICK, *, at_once: int = 4) -> Deliverer:
        deliverer = Deliverer(
            database, GuardedOutbound(LOOPBACK), KeySealedText(KEY), schedule=schedule, at_once=at_once
        )
        deliverer.start()
        made.append(deliverer)
        return deliverer

    yield start
    for deliverer in made:
        deliverer.stop()
