"""The main job in figures: `make bench` runs the demo several times and prints a table.

Each run is a whole demo with a hub, an agent and a sensor of its own. Medians, with the smallest
and the largest: these are shared machines.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

Run = dict[str, Any]


def main() -> int:
    """Print the table in Markdown; exit non-zero where a run did not prove what it must."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.main_job", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--driver", choices=["auto", "runc", "process"], default="auto")
    arguments = parser.parse_args()
    runs = [run_demo(arguments.driver) for _ in range(arguments.runs)]
    if not all(check["holds"] for run in runs for check in run["checks"]):
        sys.stderr.write("error: a run did not prove what it must; see `make demo`\n")
        return 1
    sys.stdout.write("\n".join(table(runs)) + "\n")
    return 0


def run_demo(driver: str) -> Run:
    """Run one demo and return its figures."""
    done = subprocess.run(
        [sys.executable, "-m", "simulators.demo", "--driver", driver, "--output", "json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: Run = json.loads(done.stdout)
    return figures


def table(runs: list[Run]) -> Iterable[str]:
    """Yield the lines of the page's table."""
    machine = f"{os.cpu_count()} processors, Python {platform.python_version()}"
    yield f"{len(runs)} runs, {machine}, driver {runs[0]['driver']}"
    yield ""
    yield "| figure | median | smallest | largest |"
    yield "|---|---|---|---|"
    for step in runs[0]["seconds"]:
        yield row(f"{step}, s", [run["seconds"][step] for run in runs], 1)
    yield row("all steps, s", [sum(run["seconds"].values()) for run in runs], 1)
    for name in runs[0]["rss_bytes"]:
        yield row(f"RSS of the {name}, MB", [run["rss_bytes"][name] / 1e6 for run in runs], 0)
        yield row(f"PSS of the {name}, MB", [run["pss_bytes"][name] / 1e6 for run in runs], 0)
    for version in runs[0]["pulled_bytes"]:
        pulled = [run["pulled_bytes"][version] / 1e6 for run in runs]
        yield row(f"pulled by the device for v{version}, MB", pulled, 3)
    for position, model in enumerate(runs[0]["models"]):
        latencies = [run["models"][position]["p50_latency_us"] for run in runs]
        yield row(f"scoring by v{model['version']}, p50, µs", latencies, 0)


def row(words: str, values: list[float], digits: int) -> str:
    """Return one line: median, smallest and largest of a figure over the runs."""
    cells = (statistics.median(values), min(values), max(values))
    return f"| {words} | " + " | ".join(f"{value:.{digits}f}" for value in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
