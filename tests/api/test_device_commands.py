"""`headland device`: what the commands print, over a real hub."""

from contract.messages import OutboxReport, StreamDrops
from tests.api.conftest import Command, World
from tests.api.images import report


def test_a_device_shows_what_its_streams_lost_and_why(world: World, headland: Command) -> None:
    with world.sdk(world.admin_token) as hub:
        hub.workspace("shop").invite_device("cam-1")
    report(world.services, "cam-1", 0, None)
    assert headland("device", "show", "cam-1").endswith("  outbox: 0 pending, 0 dropped\n")
    streams = (
        StreamDrops(stream="inference", evicted=4, expired=2),
        StreamDrops(stream="meter", incoming=1, refused=5),
    )
    report(world.services, "cam-1", 0, None, OutboxReport(pending=3, dropped=7, streams=streams))
    assert headland("device", "show", "cam-1").endswith(
        "  outbox: 3 pending, 7 dropped\n"
        "    stream inference: 4 evicted, 2 expired\n"
        "    stream meter: 1 incoming, 5 refused\n"
    )
