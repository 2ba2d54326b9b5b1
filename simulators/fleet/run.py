"""One run of a fleet against a running hub: enrol, connect, roll out, stay, tell."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from cloud_hub.sdk import Hub, Workspace
from simulators.fleet.behaviour import Behaviour
from simulators.fleet.empty_image import ensure_empty_image
from simulators.fleet.enrolling import enrol_all, names
from simulators.fleet.errors import FleetError
from simulators.fleet.figures import Applied, Enrolling, Figures, figures_of
from simulators.fleet.journal import Story
from simulators.fleet.orders import Order
from simulators.fleet.processes import Processes, started
from simulators.fleet.scenario import Crew, Group, crews

EMPTY_IMAGE: Final = "empty"
MODULE: Final = "simulated"
ROLLOUT: Final = "simulated"
MOST_DEVICES: Final = 99_999
TELL_EVERY_S: Final = 1.0
DRAIN_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is asked for; ``image`` is rolled out to all devices where it is not empty.

    ``groups`` are a scenario's; the bad images of ``behaviour`` are bad on every device. ``spread_s``: within
    so long the devices begin to connect. ``timeout_s`` bounds each wait.
    """

    devices: int
    folder: Path
    prefix: str = "sim"
    workspace: str = ""
    processes: int = 0
    spread_s: float = 0.0
    seed: int = 1
    image: str = ""
    timeout_s: float = 300.0
    report_interval_s: float = 60.0
    ready_timeout_s: float = 10.0
    groups: tuple[Group, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    hasty: bool = False


Tell = Callable[[str], None]
"""Called with a line for the person who waits."""
Meanwhile = Callable[[Processes], Awaitable[None]]
"""What happens once all devices are connected, and have settled where something is rolled out."""


async def run_fleet(options: Options, tell: Tell, meanwhile: Meanwhile) -> tuple[Figures, list[Story]]:
    """Run a fleet: enrol what is missing, connect, roll out, then ``meanwhile``.

    Returns the figures, and what each device did. Raises `FleetError`, `FleetLateError`, and what the SDK and
    the agent raise.
    """
    if not 0 < options.devices <= MOST_DEVICES:
        raise FleetError(f"a fleet has 1 to {MOST_DEVICES} devices", where="--devices")
    devices = names(options.prefix, options.devices)
    orders = _orders(options, devices)
    with Hub.connect() as hub:
        workspace = hub.workspace(options.workspace)
        began = time.monotonic()
        enrolled = await asyncio.to_thread(
            enrol_all, workspace, hub.context.hub, options.folder, devices, _counting(tell)
        )
        enrolling = Enrolling(devices=enrolled, seconds=time.monotonic() - began)
        applied = None
        async with started(orders) as fleet:
            began_at = await fleet.begin()
            telling = asyncio.create_task(_tell(fleet, tell))
            try:
                await _all_connected(fleet, options)
                if options.image:
                    applied = await roll_out(workspace, fleet, devices, options)
                await meanwhile(fleet)
            except asyncio.CancelledError:
                tell("stopped")
            finally:
                telling.cancel()
            resident_bytes = fleet.progress.resident_bytes
            if any(crew.profile.sensors for order in orders for crew in order.crews):
                await fleet.quiet(DRAIN_S)
            stories = await fleet.finish()
    return figures_of(stories, len(orders), began_at, enrolling, applied, resident_bytes), stories


def _orders(options: Options, devices: Sequence[str]) -> list[Order]:
    """Return an order for each worker; the devices are dealt out in turns."""
    processes = min(options.processes or os.cpu_count() or 1, len(devices))
    dealt = [_with_images(crew, options.behaviour) for crew in crews(options.groups, devices, options.seed)]
    return [
        Order(
            folder=str(options.folder),
            crews=[msgspec.structs.replace(crew, devices=crew.devices[number::processes]) for crew in dealt],
            seed=options.seed,
            spread_s=options.spread_s,
            report_interval_s=options.report_interval_s,
            hasty=options.hasty,
        )
        for number in range(processes)
    ]


def _with_images(crew: Crew, everywhere: Behaviour) -> Crew:
    """Return a crew with the images that are bad on every device."""
    mine = crew.profile.behaviour
    behaviour = msgspec.structs.replace(
        mine,
        never_ready=mine.never_ready | everywhere.never_ready,
        crashing=mine.crashing | everywhere.crashing,
    )
    profile = msgspec.structs.replace(crew.profile, behaviour=behaviour)
    return msgspec.structs.replace(crew, profile=profile)


async def roll_out(
    workspace: Workspace, fleet: Processes, devices: Sequence[str], options: Options
) -> Applied:
    """Give all devices the options' image, and wait until each reported that it runs it, or failed."""
    applied = await asyncio.to_thread(give, workspace, devices, options)

    def settled() -> bool:
        now = fleet.progress
        return now.running.get(applied.name, 0) + now.failed.get(applied.name, 0) == fleet.devices

    await fleet.until(settled, f"every device settled on {applied.name}", options.timeout_s)
    return applied


def give(workspace: Workspace, devices: Sequence[str], options: Options, strategy: str = "") -> Applied:
    """Apply a rollout of the options' image, by a ``strategy`` (YAML in one line; empty: to all at once)."""
    image = options.image
    named = ensure_empty_image(workspace) if image == EMPTY_IMAGE else image
    module = f"{{image: '{named}', readyTimeoutSeconds: {options.ready_timeout_s:g}}}"
    how = f"  strategy: {strategy}\n" if strategy else ""
    manifest = (
        f"apiVersion: headland/v1\nkind: Rollout\nmetadata: {{name: {ROLLOUT}}}\nspec:\n"
        f"  target: {{devices: [{', '.join(devices)}]}}\n"
        f"{how}"
        f"  modules:\n    {MODULE}: {module}\n"
    )
    at = time.monotonic()
    rollout = workspace.apply_rollout(manifest)
    return Applied(f"{rollout.name}:{rollout.revision}", at, time.monotonic() - at)


async def _all_connected(fleet: Processes, options: Options) -> None:
    await fleet.until(
        lambda: fleet.progress.came == fleet.devices, "all devices are connected", options.timeout_s
    )


def _counting(tell: Tell) -> Callable[[int, int], None]:
    told_at = time.monotonic()

    def told(done: int, every: int) -> None:
        nonlocal told_at
        if done == every or time.monotonic() - told_at > TELL_EVERY_S:
            told_at = time.monotonic()
            tell(f"enrolled {done} of {every}")

    return told


async def _tell(fleet: Processes, tell: Tell) -> None:
    """Say how many are connected, run what was rolled out, or failed, whenever that changed."""
    last = ""
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        now = fleet.progress
        settled = "".join(
            f", {name}: {now.running.get(name, 0)} run it, {now.failed.get(name, 0)} failed"
            for name in sorted({*now.running, *now.failed})[-1:]
        )
        line = f"connected {now.connected} of {fleet.devices} ({now.tried} tries){settled}"
        if line != last:
            tell(line)
        last = line
