"""What `benchmarks.fleet` measures with a fleet that is connected: each phase in seconds or bytes."""

import asyncio
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec
import psutil

from cloud_hub.broker.connection import connect
from cloud_hub.broker.keys import HubKeys
from cloud_hub.sdk import Workspace
from contract import topics
from contract.messages import Ack
from simulators.demo.stage import Stage
from simulators.fleet.empty_image import ensure_empty_image
from simulators.fleet.enrolling import names
from simulators.fleet.errors import FleetError
from simulators.fleet.figures import Applied
from simulators.fleet.processes import Processes
from simulators.fleet.run import Options, give

ROUNDS: Final = 3
IMAGES: Final = ("empty", "other")
BROKEN: Final = "broken"
BAKE_S: Final = 5
FIRST_WAVE_PERCENT: Final = 1
WAVES: Final = f"[{{percent: {FIRST_WAVE_PERCENT}}}, {{percent: 10}}]"
STRATEGY: Final = f"{{waves: {WAVES}, bakeSeconds: {BAKE_S}, awaySeconds: 120}}"
DOCUMENT_BYTES: Final = 1500  # about what an envelope of one module has
LOOK_S: Final = 5.0  # a look at 10,000 devices takes the hub a second


@dataclass
class Measured:
    """Figures of one run; of rounds one a round."""

    hub_bytes: list[int] = field(default_factory=list)
    broker_bytes: list[int] = field(default_factory=list)
    fan_out_s: list[float] = field(default_factory=list)
    first_report_s: list[float] = field(default_factory=list)
    converge_s: list[float] = field(default_factory=list)
    waves_s: float = 0.0
    stopped_s: float = 0.0
    back_s: float = 0.0
    moved: int = 0


@dataclass
class Phases:
    """Called with the fleet once all its devices are connected."""

    stage: Stage
    workspace: Workspace
    options: Options
    measured: Measured = field(default_factory=Measured)

    async def __call__(self, fleet: Processes) -> None:
        """Measure everything; raises `FleetError` where a phase does not end as it must."""
        self.look_at_memory()
        before = ""
        for number in range(ROUNDS):
            self.measured.fan_out_s.append(await self.fan_out(fleet))
            applied = await self.roll_out(fleet, IMAGES[number % 2])
            times = fleet.progress
            self.measured.first_report_s.append(times.first_reports_at[applied.name] - applied.at)
            self.measured.converge_s.append(times.last_settled_at[applied.name] - applied.at)
            before = applied.name
        self.look_at_memory()
        applied = await self.roll_out(fleet, IMAGES[ROUNDS % 2], STRATEGY)
        self.measured.waves_s = fleet.progress.last_settled_at[applied.name] - applied.at
        await self.until_state("done")
        before = applied.name
        await self.bad_release(fleet, before)

    def look_at_memory(self) -> None:
        """Note what the hub and its broker hold now."""
        hub = psutil.Process(self.stage.hub.pid)
        self.measured.hub_bytes.append(hub.memory_info().rss)
        self.measured.broker_bytes.append(broker_of(self.stage).memory_info().rss)

    async def fan_out(self, fleet: Processes) -> float:
        """Return in how many seconds the broker hands one message to each device, over the same connections.

        They are acknowledgements of a stream that no device has, as large as a document.
        """
        broker = self.stage.data_dir / "broker"
        client = await connect(_port(broker), HubKeys.at(self.stage.data_dir / "pki").hub, name="benchmark")
        ack = Ack(epoch="none", stream="none", mark=0, encodings=("x" * DOCUMENT_BYTES,))
        message, before, begun = msgspec.json.encode(ack), fleet.progress.acks, time.monotonic()
        for device in names(self.options.prefix, self.options.devices):
            await client.publish(topics.to_subject(topics.ack(device)), message)
        await client.flush(timeout=60)
        await fleet.until(
            lambda: fleet.progress.acks >= before + fleet.devices, "the broker's own", self.options.timeout_s
        )
        await client.close()
        return fleet.progress.last_ack_at - begun

    async def roll_out(self, fleet: Processes, image: str, strategy: str = "") -> Applied:
        """Roll an image out and wait until all devices run it."""
        applied = await self.give(image, strategy)
        await fleet.until(
            lambda: fleet.progress.running.get(applied.name, 0) == fleet.devices,
            f"all devices run {applied.name}",
            self.options.timeout_s,
        )
        return applied

    async def bad_release(self, fleet: Processes, before: str) -> None:
        """Roll out what never becomes ready, by waves; it must stop in the first, and all have ``before``."""
        applied = await self.give(BROKEN, STRATEGY)
        wave = await self.until_state("aborted")
        self.measured.stopped_s = time.monotonic() - applied.at
        await fleet.until(
            lambda: fleet.progress.running.get(before, 0) == fleet.devices,
            f"all devices run {before} again",
            self.options.timeout_s,
        )
        self.measured.back_s = fleet.progress.last_settled_at[before] - applied.at
        rollout = await asyncio.to_thread(self.workspace.rollout, "simulated")
        self.measured.moved = sum(device.state == "returned" for device in rollout.devices)
        if wave != 1 or not 0 < self.measured.moved <= -(-fleet.devices * FIRST_WAVE_PERCENT // 100):
            raise FleetError(f"it stopped in wave {wave}, and {self.measured.moved} devices were moved")

    async def give(self, image: str, strategy: str) -> Applied:
        """Apply a rollout of an empty image of this name."""
        named = await asyncio.to_thread(ensure_empty_image, self.workspace, image)
        devices = names(self.options.prefix, self.options.devices)
        options = replace(self.options, image=named)
        return await asyncio.to_thread(give, self.workspace, devices, options, strategy)

    async def until_state(self, state: str) -> int:
        """Wait until the rollout is in a state; return its wave (from 1)."""
        deadline = time.monotonic() + self.options.timeout_s
        while time.monotonic() < deadline:
            rollout = await asyncio.to_thread(self.workspace.rollout, "simulated")
            if rollout.state == state:
                return rollout.wave
            await asyncio.sleep(LOOK_S)
        raise FleetError(f"the rollout is {rollout.state} ({rollout.reason}), not {state}")


def broker_of(stage: Stage) -> psutil.Process:
    """Return the hub's NATS server."""
    children = psutil.Process(stage.hub.pid).children()
    (found,) = [child for child in children if child.name().startswith("nats-server")]
    return found


def _port(broker: Path) -> int:
    (file,) = broker.glob("*.ports")
    return int(json.loads(file.read_text())["nats"][0].rpartition(":")[2])
