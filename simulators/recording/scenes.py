"""The three scenes: an update, a bad update, a week offline.

Each types real commands and keeps what they print.
"""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cloud_hub.sdk import Workspace
from simulators.demo import digits as data
from simulators.demo.stage import Device, Stage, StageError
from simulators.recording.cast import Recording
from simulators.sensors.digits import DigitsSensor, Tally
from simulators.sensors.week import hand_over_a_week

DEVICE = "cam-1"
RATE_HZ = 100.0
SETTLE_S = 1.0
ARRIVE_TIMEOUT_S = 120.0
KEPT_OF_TRACE = (
    "SELECT count(*) AS stored, max(seq) - count(*) AS missing,"
    " min(sampled_at) AS oldest, max(sampled_at) AS newest FROM trace"
)
WEEK_US = 7 * 86_400 * 1_000_000
AGENT = """\
report_interval_s = 5.0

[outbox]
max_bytes = 3000000

[outbox.streams.alarms]
priority = 9

[outbox.streams.trace]
priority = 1
"""
MANIFEST = """\
apiVersion: headland/v1
kind: Rollout
metadata: {{name: digits}}
spec:
  target: {{devices: [cam-1]}}
  modules:
    digits: {{image: "{image}", readyTimeoutSeconds: 10}}
"""


class Scenes:
    """Plays on a stage whose hub runs and whose images are there; everything goes into ``recording``."""

    def __init__(
        self, stage: Stage, workspace: Workspace, digits: data.Digits, driver: str, recording: Recording
    ) -> None:
        self._stage, self._workspace, self._digits = stage, workspace, digits
        self._recording = recording
        self._began_s = time.monotonic()
        self._read_of_log = 0
        (stage.folder / "agent.toml").write_text(AGENT)
        self.device = self._enrol(driver)

    def update(self) -> Tally:
        """Roll out digits:1, then digits:2, while a camera goes on scoring."""
        self._heading("An update")
        self._words("A camera's images are to be scored on a device. First digits:1, a small model.")
        self._roll_out("digits:1")
        sensor = self._camera()
        sensor.start()
        try:
            time.sleep(SETTLE_S)
            self._words("From here on the camera sends 100 images a second. Now a better model, digits:2.")
            self._skip_log()
            self._roll_out("digits:2")
            self._agent_says("What the device did, from its own log:")
            time.sleep(SETTLE_S)
        finally:
            tally = sensor.stop()
        self._words(f"The camera sent {tally.sent} images; {len(tally.refused)} were refused.")
        return tally

    def bad_update(self) -> Tally:
        """Roll out an image that cannot start; the device goes back by itself."""
        self._heading("A bad update")
        self._words("The next image has a script that fails as it starts. The camera goes on sending.")
        sensor = self._camera()
        sensor.start()
        try:
            time.sleep(SETTLE_S)
            self._skip_log()
            self._roll_out("crashing:1", succeeds=False)
            self._type("headland", "device", "show", DEVICE)
            self._agent_says("From the device's log:")
            time.sleep(SETTLE_S)
        finally:
            tally = sensor.stop()
        self._words(f"The camera sent {tally.sent} images; {len(tally.refused)} were refused.")
        return tally

    def week_offline(self) -> dict[str, int]:
        """Stop the hub, hand over a week of samples to a small outbox, start the hub.

        Returns how many samples of each stream were handed over.
        """
        self._heading("A week offline")
        self._words(
            "The hub goes away. The device's outbox is 3 MB here, far too little for a week: alarms have "
            "priority 9, vitals 5, trace 1."
        )
        self._stage.hub.stop()
        start_us = int(time.time() * 1e6) - WEEK_US
        container = self.device.agent("status")["containers"][0]["id"]
        socket = self.device.state_dir / "containers" / container / "run" / "agent.sock"
        began = time.monotonic()
        counts = hand_over_a_week(socket, start_us)
        took = time.monotonic() - began
        self._words(
            f"Seven days of samples were handed over in {took:.0f} s: "
            + ", ".join(f"{count} of {name}" for name, count in counts.items())
            + ". Scoring goes on meanwhile; the camera asks once:"
        )
        self._score_once()
        self._words("The hub is back.")
        self._stage.hub.start("hub ready")
        self._await_all(counts)
        self._type("headland", "telemetry", "streams")
        self._type("headland", "telemetry", "query", KEPT_OF_TRACE)
        self._type("headland", "device", "show", DEVICE)
        return counts

    def _camera(self) -> DigitsSensor:
        return DigitsSensor(DEVICE, self.device.endpoint(), "digits", self._digits.held_out_images, RATE_HZ)

    def _enrol(self, driver: str) -> Device:
        self._stage.headland("device", "invite", DEVICE, "--file", str(self._stage.folder / f"{DEVICE}.json"))
        device = Device(
            DEVICE, self._stage.folder, driver, "--config", str(self._stage.folder / "agent.toml")
        )
        self._stage.devices.append(device)
        device.agent("enroll", "--invitation", str(self._stage.folder / f"{DEVICE}.json"))
        device.daemon.start("connected to the hub")
        return device

    def _roll_out(self, image: str, *, succeeds: bool = True) -> None:
        name = f"{image.replace(':', '-')}.yaml"
        (self._stage.folder / name).write_text(MANIFEST.format(image=image))
        self._type("headland", "rollout", "apply", "--file", name, "--wait", "60", succeeds=succeeds)

    def _score_once(self) -> None:
        sensor = self._camera()
        sensor.start()
        time.sleep(0.05)
        tally = sensor.stop()
        self._words(f"{tally.answered} of {tally.sent} images were answered, without a hub.")

    def _await_all(self, counts: dict[str, int]) -> None:
        def settled() -> bool:
            reported = self._workspace.device(DEVICE).reported or {}
            outbox = reported.get("outbox", {})
            return bool(outbox) and outbox.get("pending") == 0 and self._missing(counts) == outbox["dropped"]

        _wait_until(settled, "the hub has what the device kept")

    def _missing(self, counts: dict[str, int]) -> int:
        stored = {s.stream: s.rows for s in self._workspace.streams()}
        return sum(count - stored.get(name, 0) for name, count in counts.items())

    def _type(self, *words: str, succeeds: bool = True) -> None:
        self._recording.add(self._now(), "command", _as_typed(words))
        program = str(Path(sys.executable).parent / words[0])
        done = subprocess.run(
            [program, *words[1:]],
            cwd=self._stage.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        self._recording.add(self._now(), "output", done.stdout + done.stderr)
        if (done.returncode == 0) != succeeds:
            raise StageError(f"`{shlex.join(words)}` ended with {done.returncode}:\n{done.stderr}")

    def _heading(self, text: str) -> None:
        self._recording.add(self._now(), "heading", text)

    def _words(self, text: str) -> None:
        self._recording.add(self._now(), "words", text)

    def _skip_log(self) -> None:
        self._read_of_log = len(self.device.daemon.log)

    def _agent_says(self, words: str) -> None:
        self._words(words)
        self._recording.add(self._now(), "output", self.device.daemon.log[self._read_of_log :])

    def _now(self) -> float:
        return time.monotonic() - self._began_s


def _as_typed(words: tuple[str, ...]) -> str:
    return " ".join(f'"{word}"' if re.search(r"[ ();]", word) else word for word in words)


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + ARRIVE_TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise StageError(f"never came: {what}")
        time.sleep(0.5)
