"""What the agent costs a device: memory over time, processor time at rest, and the time to its first plan.

`python -m benchmarks.agent [--minutes 60] [--write]`. The agent is the one of the Debian package, enrolled at
a real hub; both are started here. While its memory is watched it reports each second and its line to the
broker is cut every few seconds. Nothing is asserted.
"""

import argparse
import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.endpoints.control import REPORTED_PATH, ask
from agent.errors import ControlUnavailableError
from benchmarks.cut_line import CutLine, cut_each
from benchmarks.figures import machine, spread, table
from benchmarks.hub import PAGE, refreshed
from benchmarks.packaged_agent import enrol, packaged_agent, through, why_not
from benchmarks.running_hub import running_hub
from benchmarks.watching import MIB, Look, look, parts, share, slope, told, watch
from cloud_hub.sdk import Hub
from contract.encoding import decode
from contract.messages import Reported
from simulators.demo import digits as data
from simulators.demo.stage import Device, Stage, StageError

LOOK_EACH_S = 5.0
CUT_EACH_S = 5.0
REPORT_EACH_S = 1.0
REPORT_USUAL_S = 60.0  # the default of the settings
WARM_UP_S = 120.0
IDLE_S = 120.0
FIRST_PLAN_S = 60.0
NUMBERS = itertools.count(1)
CONNECTED = "connected to the hub"
MANIFEST = """\
apiVersion: headland/v1
kind: Rollout
metadata: {{name: digits}}
spec:
  target: {{devices: [{device}]}}
  modules: {{digits: {{image: "digits:1"}}}}
"""


@dataclass(frozen=True)
class Watched:
    """An agent over time; ``reconnects`` counts its connections but the first."""

    name: str
    looks: list[Look]
    reconnects: int = 0


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process to its first plan, and of a processor until soon after it."""

    seconds: float
    cpu_s: float


@dataclass(frozen=True)
class Bench:
    """A hub, and the agent of the package."""

    stage: Stage
    program: str
    watch_s: float

    @contextmanager
    def device(self, report_each_s: float, line: CutLine | None = None) -> Iterator[Device]:
        """Enrol a device and start its agent."""
        device = enrol(self.stage, f"dev-{next(NUMBERS)}", "runc", self.program, report_each_s)
        if line is not None:
            through(line, device)
        device.daemon.start(CONNECTED)
        try:
            yield device
        finally:
            device.daemon.stop()
            device.agent("down")
            self.stage.devices.remove(device)

    def roll_out(self, device: Device) -> None:
        """Let a device run the scoring server with a small model."""
        manifest = self.stage.folder / f"{device.name}.yaml"
        manifest.write_text(MANIFEST.format(device=device.name))
        self.stage.headland("rollout", "apply", "--file", str(manifest), "--wait", "60")

    def at_rest(self, name: str, *, module: bool) -> Watched:
        """Watch an agent that has nothing to do."""
        with self.device(REPORT_USUAL_S) as device:
            if module:
                self.roll_out(device)
            time.sleep(10)
            return Watched(name, watch(device.daemon.pid, device.state_dir, IDLE_S, IDLE_S))

    def busy(self, name: str, seconds: float, *, module: bool) -> Watched:
        """Watch an agent that reports each second, and whose line is cut again and again."""
        line = CutLine(self.stage.mqtt_port)
        with contextlib.closing(line), self.device(REPORT_EACH_S, line) as device:
            if module:
                self.roll_out(device)
            with cut_each(line, CUT_EACH_S):
                looks = watch(device.daemon.pid, device.state_dir, seconds, LOOK_EACH_S)
            return Watched(name, looks, device.daemon.log.count(CONNECTED) - 1)

    def first_plans(self, runs: int) -> dict[str, list[Start]]:
        """Return starts of the process until its first plan, the hub away and reachable."""
        found: dict[str, list[Start]] = {"the hub is away": [], "the hub is there": []}
        line = CutLine(self.stage.mqtt_port)
        with contextlib.closing(line), self.device(REPORT_USUAL_S, line) as device:
            for _ in range(runs):
                for name, starts in found.items():
                    device.daemon.stop()
                    line.down = name == "the hub is away"
                    starts.append(_first_plan(device))
        return found


def _first_plan(device: Device) -> Start:
    """Start an agent; its first report is what follows from its first plan, and tells when that was."""
    began_s = time.time()
    gives_up_at_s = began_s + FIRST_PLAN_S
    device.daemon.begin()
    while time.time() < gives_up_at_s:
        with contextlib.suppress(ControlUnavailableError):
            status, body = ask(device.state_dir, REPORTED_PATH)
            if status == 200:
                cpu_s = look(device.daemon.pid, device.state_dir).cpu_s
                return Start(decode(body, Reported, what="report").at.timestamp() - began_s, cpu_s)
        time.sleep(0.005)
    raise StageError(f"{device.name} made no plan in {FIRST_PLAN_S:g} s:\n{device.daemon.log[-2000:]}")


def memory_table(found: Sequence[Watched]) -> list[str]:
    """Return memory at the beginning and the end, and how it changed between."""
    rows = []
    for each in found:
        settled = list(parts(each.looks, min(WARM_UP_S, each.looks[-1].at_s - each.looks[0].at_s) / 2))
        minutes = (each.looks[-1].at_s - each.looks[0].at_s) / 60
        last = each.looks[-12:]
        rows.append(
            [
                each.name,
                f"{minutes:.0f}",
                f"{each.reconnects:,}",
                f"{each.looks[0].pss_bytes / MIB:.1f}",
                spread([one.pss_bytes / MIB for one in last]).told(1),
                spread([one.rss_bytes / MIB for one in last]).told(1),
                spread([one.private_bytes / MIB for one in last]).told(1),
                told(slope(settled, lambda one: one.pss_bytes)),
                told(slope(settled, lambda one: one.rss_bytes)),
                f"{each.looks[0].fds}, {max(one.fds for one in last)}",
                f"{each.looks[0].threads}, {max(one.threads for one in last)}",
            ]
        )
    head = [
        "agent", "minutes", "reconnects", "PSS at the start, MiB", "PSS at the end", "RSS", "private",
        "slope of PSS, MiB/h", "slope of RSS, MiB/h", "descriptors: first, last", "threads: first, last",
    ]  # fmt: skip
    return table(head, rows)


def rest_table(found: Sequence[Watched]) -> list[str]:
    """Return what an agent at rest takes of a processor."""
    rows = [
        [
            each.name,
            f"{each.looks[-1].pss_bytes / MIB:.1f}",
            f"{share(each.looks, children=False):.2f}",
            f"{share(each.looks, children=True):.2f}",
        ]
        for each in found
    ]
    return table(["agent", "PSS, MiB", "of one processor, %", "its short-lived children, %"], rows)


def start_table(starts: Mapping[str, Sequence[Start]]) -> list[str]:
    """Return how long starts took, and what they took of a processor."""
    rows = [
        [
            name,
            spread([1000 * each.seconds for each in found]).told(0),
            spread([1000 * each.cpu_s for each in found]).told(0),
        ]
        for name, found in starts.items()
    ]
    return table(["start of the process to its first plan", "ms", "of a processor, ms"], rows)


def measure(bench: Bench, runs: int) -> str:
    """Return all tables."""
    with Hub.connect() as hub:
        data.train_and_register(hub.workspace(), data.load(), "logistic", bench.stage.folder)
        hub.workspace().build_image("digits", "digits:1", None)
    resting = [bench.at_rest("no module", module=False), bench.at_rest("one module, runc", module=True)]
    starts = bench.first_plans(runs)
    busy = [bench.busy("no module, busy", bench.watch_s, module=False)]
    busy.append(bench.busy("one module, runc, busy", min(600.0, bench.watch_s), module=True))
    lines = [
        f"{machine()}; the agent runs with Debian's Python; {IDLE_S:.0f} s at rest",
        "",
        *rest_table(resting),
    ]
    lines += ["", f"{runs} starts; median (smallest-largest)", "", *start_table(starts), ""]
    lines += [f"A report each second, the line to the broker cut every {CUT_EACH_S:.0f} s", ""]
    return "\n".join([*lines, *memory_table(busy)])


def main() -> int:
    """Print the tables; with ``--write`` put them into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of reconnects and reports")
    parser.add_argument("--runs", type=int, default=10, help="starts until the first plan")
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    options = parser.parse_args()
    if reason := why_not():
        sys.stderr.write(f"error: the agent's package cannot be made: {reason}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="hl-") as name:
        folder = Path(name)
        program = packaged_agent(folder / "package")
        with running_hub(folder / "stage") as stage:
            tables = measure(Bench(stage, program, options.minutes * 60), options.runs)
    sys.stdout.write(f"{tables}\n")
    if options.write:
        PAGE.write_text(refreshed(PAGE.read_text(), "agent", tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
