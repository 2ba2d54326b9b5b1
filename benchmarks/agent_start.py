"""How soon a device scores: from the start of the daemon's process to the first scored answer of its module.

`python -m benchmarks.agent_start [--runs 10] [--write]`. The image is on the disk and no container is left,
as after a reboot; without a network there is not even a loopback, and the clock stands at 1970.
"""

import argparse
import functools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agent.endpoints.unix_client import UnixHttpConnection
from benchmarks.figures import in_turn, machine, spread, table
from benchmarks.hub import PAGE, refreshed
from benchmarks.running_hub import running_hub
from cloud_hub.sdk import Hub
from simulators.demo import digits as data
from simulators.demo.stage import Device, Stage, StageError
from simulators.wrong_clock import WrongClock, why_not

PATIENCE_S = 60.0
LOOK_S = 0.002
IN_1970 = datetime(1970, 1, 1, 0, 0, 20, tzinfo=UTC)
CONDITIONS = ("hub reachable, clock right", "no network, 1970")
MANIFEST = """\
apiVersion: headland/v1
kind: Rollout
metadata: {{name: {device}}}
spec:
  target: {{devices: [{device}]}}
  modules: {{digits: {{image: "digits:1"}}}}
"""


def request() -> bytes:
    """Return the body of a request to score one image."""
    image = data.load().held_out_images[0].tolist()
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, data.FEATURES], "data": image}
    return json.dumps({"inputs": [tensor]}).encode()


def scored(endpoint: Path, body: bytes) -> bool:
    """Ask once: is there a scored answer? A container that starts lets the request wait."""
    connection = UnixHttpConnection(endpoint, timeout_s=PATIENCE_S)
    try:
        connection.request("POST", "/v2/models/digits/infer", body)
        answer = connection.getresponse()
        return answer.status == 200 and b'"outputs"' in answer.read()
    except OSError:
        return False
    finally:
        connection.close()


def start(device: Device, endpoint: Path, body: bytes, before: tuple[str, ...]) -> float:
    """Start the daemon; return the seconds to the first scored answer. Afterwards nothing runs."""
    device.daemon.before = before
    began = time.monotonic()
    device.daemon.begin()
    while not scored(endpoint, body):
        if time.monotonic() - began > PATIENCE_S:
            raise StageError(f"{device.name} does not score:\n{device.daemon.log[-2000:]}")
        time.sleep(LOOK_S)
    answered_s = time.monotonic() - began
    device.daemon.wait_for("started digits:1")
    device.daemon.stop()
    device.agent("down")
    return answered_s


def prepare(stage: Stage, driver: str) -> tuple[Device, Path]:
    """Return a device that has the image on its disk, and no container; and its module's socket."""
    device = stage.enrol_device(f"dev-{driver}", driver)
    manifest = stage.folder / f"{driver}.yaml"
    manifest.write_text(MANIFEST.format(device=device.name))
    stage.headland("rollout", "apply", "--file", str(manifest), "--wait", "60")
    endpoint = device.endpoint()
    device.daemon.stop()
    device.agent("down")
    return device, endpoint


def drivers() -> list[str]:
    """Return the drivers that can be measured here."""
    with_runc = os.geteuid() == 0 and shutil.which("runc") is not None
    return ["runc", "process"] if with_runc else ["process"]


def measure(stage: Stage, runs: int) -> str:
    """Return the table."""
    with Hub.connect() as hub:
        data.train_and_register(hub.workspace(), data.load(), "logistic", stage.folder)
        hub.workspace().build_image("digits", "digits:1", None)
    clock = WrongClock(stage.folder)
    clock.set_to(IN_1970)
    alone = ("unshare", "--net", *clock.words)
    body, ways = request(), dict[str, Callable[[], float]]()
    for driver in drivers():
        device, endpoint = prepare(stage, driver)
        for condition, before in zip(CONDITIONS, ((), alone), strict=True):
            ways[f"{driver}, {condition}"] = functools.partial(start, device, endpoint, body, before)
    found = in_turn(ways, runs)
    rows = [[name, spread(times).told(2)] for name, times in found.items()]
    return "\n".join(
        [
            f"{runs} starts each, {machine()}; median (smallest-largest)",
            "",
            *table(["driver, condition", "start of the daemon to the first scored answer, s"], rows),
        ]
    )


def main() -> int:
    """Print the table; with ``--write`` put it into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent_start", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="starts each")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    if reason := why_not():
        sys.stderr.write(f"error: the clock cannot be set back: {reason}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="hl-") as name, running_hub(Path(name) / "stage") as stage:
        found = measure(stage, options.runs)
    sys.stdout.write(f"{found}\n")
    if options.write:
        PAGE.write_text(refreshed(PAGE.read_text(), "agent_start", found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
