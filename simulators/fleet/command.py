"""`headland-sim fleet`: thousands of simulated devices at a running hub."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from simulators.fleet.behaviour import Behaviour
from simulators.fleet.figures import Figures, words
from simulators.fleet.journal import Story
from simulators.fleet.judge import back_at
from simulators.fleet.processes import Processes
from simulators.fleet.run import EMPTY_IMAGE, Meanwhile, Options, run_fleet
from simulators.fleet.scenario import read_scenario

WORDS: Final = (
    "let simulated devices enrol, connect, take rollouts and report, at the hub you are logged in to"
)
EXAMPLE: Final = "headland-sim fleet --devices 1000 --roll-out"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("--devices", type=int, default=100, help="how many (default: %(default)s)")
    add(
        "--folder",
        type=Path,
        default=Path("headland-fleet"),
        help="where their keys and certificates are kept (default: %(default)s)",
    )
    add("--prefix", default="sim", help="their names are PREFIX-00001 and so on (default: %(default)s)")
    add("--workspace", default="", help="default: the one in use")
    add("--processes", type=int, default=0, help="how many processes drive them (default: one a core)")
    add(
        "--spread",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="they begin to connect within so long, by lot (default: all at once)",
    )
    add(
        "--roll-out",
        nargs="?",
        const=EMPTY_IMAGE,
        default="",
        metavar="IMAGE",
        help="roll an image out to all of them (name:version; default: an empty one, pushed for it)",
    )
    add(
        "--never-ready",
        action="append",
        default=[],
        metavar="IMAGE",
        help="containers of this image never become ready; may be given again",
    )
    add(
        "--stay",
        type=float,
        default=None,
        metavar="SECONDS",
        help="end so long after all is done (default: on Ctrl-C)",
    )
    add(
        "--timeout",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="how long to wait for all of them (default: %(default)g)",
    )
    add("--report-interval", type=float, default=60.0, metavar="SECONDS", help="default: %(default)g")
    add("--seed", type=int, default=1, help="of all that is drawn by lot (default: %(default)s)")
    add("--scenario", type=Path, metavar="FILE", help="who of them lives how (YAML)")
    add("--hasty", action="store_true", help="without the agent's waits between tries")
    add("--records", type=Path, metavar="FILE", help="write what each device did, one JSON document a line")
    add("--output", choices=["text", "json"], default="text", help="how to print the figures")


def run(arguments: argparse.Namespace) -> int:
    """Run a fleet and print its figures; 1 where one whose link was up all the time is not connected."""
    options = Options(
        devices=arguments.devices,
        folder=arguments.folder,
        prefix=arguments.prefix,
        workspace=arguments.workspace,
        processes=arguments.processes,
        spread_s=arguments.spread,
        seed=arguments.seed,
        image=arguments.roll_out,
        timeout_s=arguments.timeout,
        groups=tuple(read_scenario(arguments.scenario)) if arguments.scenario is not None else (),
        report_interval_s=arguments.report_interval,
        behaviour=Behaviour(never_ready=frozenset(arguments.never_ready)),
        hasty=arguments.hasty,
    )
    figures, stories = asyncio.run(_until_stopped(options, arguments.stay))
    if arguments.records is not None:
        _write(arguments.records, stories)
    text = msgspec.json.encode(figures).decode() if arguments.output == "json" else words(figures)
    print(text)  # noqa: T201  the command's result
    return int(any(story.steady and back_at(story, 0.0) is None for story in stories))


async def _until_stopped(options: Options, stay_s: float | None) -> tuple[Figures, list[Story]]:
    running = asyncio.ensure_future(run_fleet(options, _teller(), _staying(stay_s)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    return await running


def _staying(stay_s: float | None) -> Meanwhile:
    async def stay(_: Processes) -> None:
        if stay_s is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(stay_s)

    return stay


def _teller() -> Callable[[str], None]:
    """Return what says a line to the person: over the last one on a terminal."""
    end = "\033[K\r" if sys.stderr.isatty() else "\n"

    def tell(line: str) -> None:
        print(line, end=end, file=sys.stderr, flush=True)  # noqa: T201  for the person

    return tell


def _write(path: Path, stories: list[Story]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(story) + b"\n" for story in stories))
