"""A fleet of simulated devices at one hub: `make bench-fleet`.

Each run has a hub and a broker of its own. ``--devices 1000 10000``: a run for each; ``--write`` puts the
table into benchmarks/README.md.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.figures import machine, ratios, spread, table
from benchmarks.fleet_phases import BAKE_S, BROKEN, ROUNDS, Measured, Phases
from benchmarks.hub import PAGE, refreshed
from benchmarks.running_hub import running_hub
from cloud_hub.sdk import Hub
from simulators.fleet.behaviour import Behaviour
from simulators.fleet.figures import Figures
from simulators.fleet.run import Options, run_fleet

SPREAD_S_A_THOUSAND: Final = 5.0
TIMEOUT_S: Final = 900.0
MIB: Final = 1 << 20
AT_ONCE: Final = Behaviour(
    pull_s=(0, 0), ready_s=(0, 0), stop_s=(0, 0), never_ready=frozenset({f"{BROKEN}:1"})
)
"""Nothing of what is measured is a simulated pull or start."""


def run(devices: int) -> tuple[Figures, Measured]:
    """Run one fleet on a hub of its own."""
    with tempfile.TemporaryDirectory(prefix="hl-bench-fleet-") as folder, running_hub(Path(folder)) as stage:
        options = Options(
            devices=devices,
            folder=Path(folder) / "fleet",
            spread_s=SPREAD_S_A_THOUSAND * devices / 1000,
            timeout_s=TIMEOUT_S,
            behaviour=AT_ONCE,
        )
        with Hub.connect() as hub:
            phases = Phases(stage, hub.workspace(), options)
            phases.look_at_memory()
            figures, _ = asyncio.run(run_fleet(options, _tell, phases))
        return figures, phases.measured


def rows(found: Sequence[tuple[Figures, Measured]]) -> list[list[str]]:
    """Return the table's rows: a name, and a cell for each run."""
    cells: list[list[str]] = []
    for figures, measured in found:
        connected = figures.connect_s
        thousands = figures.devices / 1000
        hub, broker = (
            (each[-1] - each[0]) / MIB / thousands for each in (measured.hub_bytes, measured.broker_bytes)
        )
        cells.append(
            [
                f"{connected.p50:.1f}, {connected.p95:.1f}, {connected.last:.1f}" if connected else "",
                f"{figures.tries}, {figures.most_tries_in_a_second}",
                f"{measured.hub_bytes[0] / MIB:.0f}, {hub:+.1f}",
                f"{measured.broker_bytes[0] / MIB:.0f}, {broker:+.1f}",
                spread(measured.fan_out_s).told(2),
                spread(measured.first_report_s).told(2),
                spread(measured.converge_s).told(1),
                ratios(measured.converge_s, measured.fan_out_s).told(1),
                f"{measured.waves_s:.1f}",
                f"{measured.moved}, {measured.stopped_s:.1f}, {measured.back_s:.1f}",
            ]
        )
    heads = [
        "connected: half, 95 %, all, s",
        "tries, most of one device in a second",
        "RSS of the hub alone, and for 1,000 devices more, MiB",
        "RSS of the broker alone, and for 1,000 devices more, MiB",
        "broker's own fan-out of a message to each, s",
        "`rollout apply` to the first report, s",
        "`rollout apply` until all run it, s",
        "so many times the fan-out",
        f"the same in three waves, with 2 times {BAKE_S} s between, s",
        "bad release: devices moved; stopped, all back after, s",
    ]
    return [[head, *(each[place] for each in cells)] for place, head in enumerate(heads)]


def main(arguments: Sequence[str]) -> int:
    """Run, print, and write where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args(arguments)
    found = [run(devices) for devices in options.devices]
    head = ["", *(f"{figures.devices:,} devices" for figures, _ in found)]
    above = f"{machine()}; median (smallest-largest) of {ROUNDS} rounds"
    text = "\n".join([above, "", *table(head, rows(found))])
    sys.stdout.write(text + "\n")
    if options.write:
        PAGE.write_text(refreshed(PAGE.read_text(), "fleet", text))
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
