"""Generations grow, whatever the hub has forgotten: one restored from a backup is behind its devices."""

from pathlib import Path

import pytest
from sqlalchemy import select

from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.rollouts.documents import FARTHEST
from cloud_hub.rollouts.rows import DesiredRow
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
