"""Generations grow, whatever the hub has forgotten: one restored from a backup is behind its devices."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.rollouts.documents import FARTHEST, opened
from cloud_hub.rollouts.rows import DesiredRow
from cloud_hub.rollouts.service import Rollouts
from tests.hub.acting import BY
from tests.hub.races import manifest, rollouts


@pytest.mark.parametrize(
    ("said", "generations"), [({}, [1, 2]), ({"generation": 41}, [1, 42]), ({"generation": FARTHEST}, [1, 2])]
)
def test_the_next_generation_is_beyond_what_the_device_holds(
    database: Database, tmp_path: Path, said: dict[str, int], generations: list[int]
) -> None:
    (service,) = rollouts([database], tmp_path)
    service.apply("shop", manifest("all"), BY)
    with database.transaction() as session:
        session.get_one(DeviceRow, "cam-1").reported = said
    service.apply("shop", manifest("all"), BY)
    with database.reading() as session:
        found = session.scalars(select(DesiredRow.generation).order_by(DesiredRow.generation)).all()
    assert found == generations


def envelope_of(service: Rollouts, held: int = 0) -> bytes:
    envelope = service.newer_than("cam-1", held)
    assert envelope is not None
    return envelope


def age(database: Database, days: float) -> None:
    """Let what was signed be so many days older."""
    with database.transaction() as session:
        for row in session.scalars(select(DesiredRow)):
            row.created_at -= timedelta(days=days)


def test_a_document_that_waited_long_is_signed_anew_for_who_asks(database: Database, tmp_path: Path) -> None:
    (service,) = rollouts([database], tmp_path)
    service.apply("shop", manifest("all"), BY)
    first = envelope_of(service)
    age(database, 14)
    assert envelope_of(service) == first, "it has time enough"
    age(database, 17)
    again = envelope_of(service)
    old, new = opened(first), opened(again)
    assert (new.generation, new.modules, new.rollout) == (old.generation, old.modules, old.rollout)
    assert new.not_after - datetime.now(UTC) > timedelta(days=29)
    assert envelope_of(service) == again, "once is enough"
    assert service.newer_than("cam-1", new.generation) is None, "who holds it is sent nothing"
