"""One process of a fleet: reads an order, drives its devices on one event loop, tells how they are.

``python -m simulators.fleet.worker``: an `Order` and commands come on standard input, `Said` goes to
standard output. It ends with its input, so it never outlives who started it.
"""

import asyncio
import gc
import logging
import os
import resource
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from agent.identity.store import load
from agent.transport.mqtt import MqttTransport
from simulators.fleet.device import SimulatedDevice
from simulators.fleet.journal import Journal, Story
from simulators.fleet.link import Link, let_live
from simulators.fleet.loop_client import LoopClient
from simulators.fleet.orders import (
    BEGIN,
    FINISH,
    MAX_LINE_BYTES,
    QUIET,
    Loaded,
    Order,
    Progress,
    Said,
    Stories,
    by_rollout,
)
from simulators.fleet.scenario import Crew
from simulators.fleet.timers import LoopTimers

TELL_EVERY_S: Final = 0.5
SPARE_DESCRIPTORS: Final = 64
HASTE_S: Final = 0.05


class HastyClient(LoopClient):
    """A client without the agent's waits."""

    def wait_before_next_s(self) -> float:
        """Return next to nothing."""
        return HASTE_S


class Worker:
    """The devices of one order."""

    def __init__(self, order: Order) -> None:
        self._journals: list[Journal] = []
        self._timers = LoopTimers()
        self._quiet = False
        self._lives: list[Callable[[], None]] = []
        self._devices = [self._device(order, crew, name) for crew in order.crews for name in crew.devices]

    def begin(self) -> None:
        """Let every device connect."""
        for device in self._devices:
            device.start()
        for live in self._lives:
            live()

    def finish(self) -> Stories:
        """Disconnect, and return what happened until now."""
        stories = [
            _with_samples(journal.story(), device)
            for journal, device in zip(self._journals, self._devices, strict=True)
        ]
        for device in self._devices:
            device.stop()
        return Stories(stories=stories)

    def quiet(self) -> None:
        """Let no device take samples any more."""
        self._quiet = True
        for device in self._devices:
            device.quiet()

    def progress(self) -> Progress:
        """Return where the devices are."""
        settled = [journal for journal in self._journals if journal.settled_at]
        return Progress(
            connected=sum(journal.stands for journal in self._journals),
            came=sum(journal.came for journal in self._journals),
            tried=sum(journal.tried for journal in self._journals),
            running=Counter(journal.rollout for journal in settled if not journal.failed_it),
            failed=Counter(journal.rollout for journal in settled if journal.failed_it),
            first_reports_at=by_rollout(
                min, ((each.rollout, each.first_report_at) for each in self._journals if each.first_report_at)
            ),
            last_settled_at=by_rollout(max, ((each.rollout, each.settled_at) for each in settled)),
            acks=sum(journal.acks for journal in self._journals),
            last_ack_at=max((journal.last_ack_at for journal in self._journals), default=0.0),
            waiting=sum(device.outbox().pending for device in self._devices),
            quiet=self._quiet,
            resident_bytes=_resident_bytes(),
        )

    def _device(self, order: Order, crew: Crew, name: str) -> SimulatedDevice:
        chance, link, profile = Random(f"{order.seed} {name}"), Link(), crew.profile  # noqa: S311  no secret
        journal = Journal(name, crew.group, steady=profile.steady)
        self._journals.append(journal)
        self._lives.append(partial(let_live, link, profile, self._timers, chance))
        identity = load(Path(order.folder) / name)
        facts = identity.facts
        make_client = partial(
            HastyClient if order.hasty else LoopClient,
            journal=journal,
            chance=chance,
            link=link,
            first_wait_s=chance.uniform(0, order.spread_s),
        )
        transport = MqttTransport(
            facts.device, facts.mqtt_host, facts.mqtt_port, identity.tls_context(), make_client=make_client
        )
        ahead = timedelta(seconds=profile.clock_ahead_s)
        return SimulatedDevice(
            facts,
            transport,
            self._timers,
            profile.behaviour,
            chance,
            journal,
            sensors=profile.sensors,
            report_interval_s=order.report_interval_s,
            now=lambda: datetime.now(UTC) + ahead,
        )


def _with_samples(story: Story, device: SimulatedDevice) -> Story:
    outbox = device.outbox()
    return msgspec.structs.replace(story, taken=device.taken, waiting=outbox.pending, dropped=outbox.dropped)


async def _work() -> None:
    commands = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    line = await commands.readline()
    if not line:
        return
    order = msgspec.json.decode(line, type=Order)
    allow_descriptors(order.devices + SPARE_DESCRIPTORS)
    worker = Worker(order)
    gc.collect()
    gc.freeze()  # the collector need not look through thousands of devices again and again
    _say(Loaded(devices=order.devices))
    if await commands.readline() != BEGIN:
        return
    worker.begin()
    telling = loop.create_task(_tell(worker))
    while (command := await commands.readline()) == QUIET:
        worker.quiet()
    telling.cancel()
    if command == FINISH:
        _say(worker.finish())


async def _tell(worker: Worker) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        _say(worker.progress())


def _say(said: Said) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


def allow_descriptors(needed: int) -> None:
    """Raise this process's bound on open files to ``needed``, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard == resource.RLIM_INFINITY or hard >= needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))  # root may; else OSError or ValueError


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Work until the input ends or says so."""
    # Of thousands of devices, each word of each agent would be said thousands of times: journals count.
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(_work())


if __name__ == "__main__":
    main()
