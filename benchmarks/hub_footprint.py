"""Memory and start-up of the hub, beside MLflow's tracking server; whole process trees, at rest.

`python -m benchmarks.hub_footprint [--rounds 2]`; prints Markdown. Each start is of a server that was started
before, so none makes its database; it counts from the first process to the first answer of the API that reads
the database. Nothing is asserted.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.figures import in_turn, machine, ratios, spread, table
from benchmarks.peers import mlflow_server, tree, wait_for_answer
from benchmarks.running_hub import running_hub
from cloud_hub.sdk.context import load_context
from simulators.demo.stage import Stage

REST_S = 3.0
HUB = "Headland hub"


@dataclass(frozen=True)
class Footprint:
    """One start: seconds until the first answer, and the tree's memory in bytes after a rest."""

    started_in_s: float
    processes: int
    rss_bytes: int
    pss_bytes: int


def of_tree(pid: int, started_in_s: float) -> Footprint:
    """Return what a process and all below it hold; pages that they share count once in PSS."""
    memory = [process.memory_full_info() for process in tree(pid)]
    return Footprint(
        started_in_s, len(memory), sum(one.rss for one in memory), sum(one.pss for one in memory)
    )


def start_hub(stage: Stage) -> Footprint:
    """Start the hub, look, and stop it."""
    context = load_context()
    ca = stage.folder / "ca.pem"
    ca.write_text(context.ca_pem)
    began_s = time.perf_counter()
    stage.hub.start("")
    try:
        wait_for_answer(f"{context.hub}/api/v1/workspaces", {"Authorization": f"Bearer {context.token}"}, ca)
        started_in_s = time.perf_counter() - began_s
        time.sleep(REST_S)
        return of_tree(stage.hub.pid, started_in_s)
    finally:
        stage.hub.stop()


def start_mlflow(folder: Path, workers: int | None, *, jobs: bool) -> Footprint:
    """Start MLflow's server, look, and stop it."""
    with mlflow_server(folder, workers=workers, jobs=jobs) as server:
        settle(server.pid)
        return of_tree(server.pid, server.started_in_s)


def settle(pid: int, most_s: float = 120.0) -> None:
    """Wait until a tree is at rest: it starts processes behind its first answer."""
    gives_up_at_s = time.monotonic() + most_s
    before: tuple[int, float] = (0, 0.0)
    while time.monotonic() < gives_up_at_s:
        time.sleep(REST_S)
        times = [process.cpu_times() for process in tree(pid)]
        now = (len(times), sum(one.user + one.system for one in times))
        if now[0] == before[0] and now[1] - before[1] < 0.1 * REST_S:
            return
        before = now


def measure(folder: Path, rounds: int) -> dict[str, list[Footprint]]:
    """Return the footprints by server, one a round."""
    with running_hub(folder / "headland") as stage:
        stage.hub.stop()
        ways: dict[str, Callable[[], Footprint]] = {
            HUB: partial(start_hub, stage),
            "`mlflow server`, as it comes": partial(start_mlflow, folder / "mlflow", None, jobs=True),
            "`mlflow server --workers 1`": partial(start_mlflow, folder / "mlflow", 1, jobs=True),
            "the same without job processes": partial(start_mlflow, folder / "mlflow", 1, jobs=False),
        }
        start_mlflow(folder / "mlflow", 1, jobs=False)  # makes its database
        return in_turn(ways, rounds)


def lines_of(found: dict[str, list[Footprint]]) -> Iterator[str]:
    """Yield the table."""
    yield f"{len(found[HUB])} rounds, {machine()}; median (smallest-largest)"
    yield ""
    starts = {name: [one.started_in_s for one in seen] for name, seen in found.items()}
    memory = {name: [one.pss_bytes / 1e6 for one in seen] for name, seen in found.items()}
    rows = [
        [
            name,
            str(max(one.processes for one in seen)),
            spread(memory[name]).told(0),
            spread([one.rss_bytes / 1e6 for one in seen]).told(0),
            ratios(memory[name], memory[HUB]).told(1),
            spread(starts[name]).told(1),
            ratios(starts[name], starts[HUB]).told(1),
        ]
        for name, seen in found.items()
    ]
    head = ["server", "processes", "PSS, MB", "sum of RSS, MB", "PSS / hub's", "start, s", "start / hub's"]
    yield from table(head, rows)
    yield ""


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hub_footprint", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write("\n".join(lines_of(measure(Path(name), options.rounds))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
