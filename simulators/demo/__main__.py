"""`make demo`: the main job, end to end, on real parts; exits non-zero where it does not hold."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cloud_hub.sdk import Hub, Workspace
from simulators.demo import digits as data
from simulators.demo.proof import Check, Sample, VersionFigures, checks, figures, stored_samples
from simulators.demo.stage import Daemon, Device, Stage, StageError
from simulators.sensors.digits import DigitsSensor, Tally

DEVICE = "cam-1"
WORKSPACE = "shop"
RATE_HZ = 100.0
SETTLE_S = 2.0
ARRIVE_TIMEOUT_S = 30.0
MANIFEST = """\
apiVersion: headland/v1
kind: Rollout
metadata:
  name: digits
spec:
  target:
    devices: [{device}]
  modules:
    digits:
      image: {image}
      limits: {{memory: 512Mi, cpus: 1, pids: 64}}
"""


class Demo:
    """The steps of the main job, and what they cost."""

    device: Device

    def __init__(self, stage: Stage, driver: str, console: Console) -> None:
        self.stage = stage
        self.driver = driver
        self.console = console
        self.seconds: dict[str, float] = {}
        self.pulled: dict[str, int] = {}
        self.rss_bytes: dict[str, int] = {}
        self.pss_bytes: dict[str, int] = {}
        self.parts: dict[str, str] = {}
        self.digits = data.load()
        self.model_files: dict[str, Path] = {}

    @contextmanager
    def step(self, words: str) -> Iterator[None]:
        """Show that a step is going on, and how long it took."""
        began = time.monotonic()
        with self.console.status(words):
            yield
        self.seconds[words] = time.monotonic() - began
        self.console.print(f"[green]✓[/] {words} [dim]{self.seconds[words]:.1f} s[/]", highlight=False)

    def run(self) -> tuple[list[Check], list[VersionFigures]]:
        """Do the main job and return what must hold."""
        stage = self.stage
        with self.step("start the hub and create a workspace"):
            stage.make_hub()
            stage.headland("workspace", "create", WORKSPACE)
        with Hub.connect() as hub:
            workspace = hub.workspace()
            self._make_image(workspace, "logistic", "1")
            with self.step("enrol the device and start its agent"):
                self.device = stage.enrol_device(DEVICE, self.driver)
            self._say_parts()
            self._roll_out(workspace, "1")
            tally = self._update_under_load(workspace)
            with self.step("wait for the last samples, and compute the proof from the hub's storage"):
                samples = self._arrived(workspace, tally)
                by_version = figures(samples, self.digits, self.model_files)
        daemons = {"hub": stage.hub, "agent": self.device.daemon}
        self.rss_bytes = {name: _memory_bytes(daemon.pid, "Rss") for name, daemon in daemons.items()}
        self.pss_bytes = {name: _memory_bytes(daemon.pid, "Pss") for name, daemon in daemons.items()}
        return checks(samples, tally, by_version), by_version

    def _make_image(self, workspace: Workspace, kind: data.Kind, version: str) -> None:
        with self.step(f"train digits:{version} ({kind}) as a run, register the ONNX model"):
            model = data.train_and_register(workspace, self.digits, kind, self.stage.folder)
            self.model_files[str(model.version)] = self.stage.folder / f"digits-{kind}.onnx"
        with self.step(f"build the image of digits:{version}"):
            self.stage.headland("image", "build", "digits", "--model", f"digits:{version}")

    def _roll_out(self, workspace: Workspace, version: str) -> None:
        with self.step(f"roll out digits:{version} and wait until the device runs it"):
            since = datetime.now(UTC)
            manifest = self.stage.folder / f"rollout-{version}.yaml"
            manifest.write_text(MANIFEST.format(device=DEVICE, image=f"digits:{version}"))
            self.stage.headland("rollout", "apply", "--file", str(manifest), "--wait", "60")
            self.pulled[version] = workspace.pulled(DEVICE, since).sent_bytes

    def _update_under_load(self, workspace: Workspace) -> Tally:
        endpoint = self.device.endpoint()
        sensor = DigitsSensor(DEVICE, endpoint, "digits", self.digits.held_out_images, RATE_HZ)
        sensor.start()
        try:
            with self.step("score held-out digits with v1"):
                time.sleep(SETTLE_S)
            self._make_image(workspace, "mlp", "2")
            self._roll_out(workspace, "2")
            with self.step("score held-out digits with v2"):
                time.sleep(SETTLE_S)
        finally:
            tally = sensor.stop()
        return tally

    def _arrived(self, workspace: Workspace, tally: Tally) -> list[Sample]:
        deadline = time.monotonic() + ARRIVE_TIMEOUT_S
        samples = stored_samples(workspace)
        while len(samples) < tally.sent and time.monotonic() < deadline:
            time.sleep(0.2)
            samples = stored_samples(workspace)
        return samples

    def _say_parts(self) -> None:
        for daemon, part in ((self.device.daemon, "driver"), (self.stage.hub, "broker")):
            lines = [line for line in daemon.log.splitlines() if f"{part}: " in line]
            self.parts[part] = lines[0].partition(f"{part}: ")[2]
            self.console.print(f"  [dim]{part}: {self.parts[part]}[/]", highlight=False)


def main() -> int:
    """Run the demo and print what it proved."""
    arguments = _arguments()
    console = Console(stderr=arguments.output == "json", width=None if sys.stdout.isatty() else 120)
    stage = Stage(Path(tempfile.mkdtemp(prefix="headland-")))
    demo = Demo(stage, arguments.driver, console)
    try:
        found, by_version = demo.run()
    except StageError as error:
        console.print(f"[red]the demo failed:[/] {error}", highlight=False)
        for daemon in (stage.hub, *(device.daemon for device in stage.devices)):
            _show_log(console, daemon)
        stage.close(keep=arguments.keep)
        return 1
    with demo.step("stop everything"):
        left = stage.close(keep=arguments.keep)
    found.append(Check("processes left behind", [], left))
    if arguments.output == "json":
        json.dump(_figures(demo, found, by_version), sys.stdout)
    else:
        _print(console, demo, found, by_version)
    return 0 if all(check.holds for check in found) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.demo", description=__doc__)
    parser.add_argument("--driver", choices=["auto", "runc", "process"], default="auto")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    return parser.parse_args()


def _print(console: Console, demo: Demo, found: list[Check], by_version: list[VersionFigures]) -> None:
    models = Table("model", "samples", "accuracy", "p50 latency", "pulled by the device", box=None)
    for figure in by_version:
        models.add_row(
            f"digits:{figure.version}",
            str(figure.samples),
            f"{figure.accuracy:.4f}",
            f"{figure.p50_latency_us} µs",
            f"{demo.pulled[figure.version] / 1e6:.2f} MB",
        )
    proof = Table("", "what was proved", "expected", "found", box=None)
    for check in found:
        mark = "[green]✓[/]" if check.holds else "[red]✗[/]"
        proof.add_row(mark, check.what, _short(check.expected), _short(check.found))
    console.print()
    console.print(models)
    console.print()
    console.print(proof)
    total = sum(demo.seconds.values())
    rss = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in demo.rss_bytes.items())
    console.print(f"\nseconds in all: {total:.1f}; resident memory: {rss}", highlight=False)


def _figures(demo: Demo, found: list[Check], by_version: list[VersionFigures]) -> dict[str, object]:
    return {
        "seconds": demo.seconds,
        "pulled_bytes": demo.pulled,
        "rss_bytes": demo.rss_bytes,
        "pss_bytes": demo.pss_bytes,
        "driver": demo.parts["driver"],
        "broker": demo.parts["broker"],
        "models": [
            {
                "version": f.version,
                "samples": f.samples,
                "accuracy": f.accuracy,
                "p50_latency_us": f.p50_latency_us,
            }
            for f in by_version
        ],
        "checks": [
            {"what": c.what, "expected": c.expected, "found": c.found, "holds": c.holds} for c in found
        ],
    }


def _short(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _memory_bytes(pid: int, kind: str) -> int:
    """Return resident (``Rss``) or proportional (``Pss``) memory of a process, proc_pid_smaps(5)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


def _show_log(console: Console, daemon: Daemon) -> None:
    console.print(f"[dim]last lines of {daemon.name}:[/]")
    for line in daemon.log.splitlines()[-25:]:
        console.print(line, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
