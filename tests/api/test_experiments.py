"""Experiments: they come to be with their first run, and only their own workspace sees them."""

from cloud_hub.sdk.workspace import Workspace
from tests.api.conftest import World


def test_experiments_count_their_runs(world: World) -> None:
    with world.sdk(world.token("ana", {"shop": "Contributor", "lab": "Reader"})) as hub:
        shop = hub.workspace()
        _check(shop)
        assert hub.workspace("lab").experiments() == []


def _check(shop: Workspace) -> None:
    assert shop.experiments() == []
    digits = shop.experiment("digits")
    assert digits.runs() == []
    digits.start_run().finish()
    going_on = digits.start_run(source={"commit": "3f0c"})
    shop.start_run("letters").finish("failed")
    found = {each.name: (each.runs, each.running) for each in shop.experiments()}
    assert found == {"digits": (2, 1), "letters": (1, 0)}
    assert digits.runs()[0].id == going_on.id
    assert all(each.last_started_at.tzinfo is not None for each in shop.experiments())
