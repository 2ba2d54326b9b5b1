"""`headland-agent logs`."""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterable

from agent.commands.command import Command, say
from agent.container_logs.reading import Follower, Line, last_lines, modules_with_logs
from agent.errors import ModuleUnknownError
from agent.reconcile.records import AgentRecords
from agent.settings import Settings
from contract.ids import check_name

POLL_S = 0.2
MOST_LINES = 1_000_000


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    module, as_json = check_name(arguments.module, where="MODULE"), arguments.output == "json"
    _must_be_known(settings, module)
    follower = Follower(settings, module) if arguments.follow else None
    lines = last_lines(settings, module, arguments.lines, follower.begins() if follower else {})
    if follower is None and as_json:
        say(json.dumps([dataclasses.asdict(line) for line in lines]))
        return 0
    _print(lines, as_json=as_json)
    while follower is not None:
        _print(follower.new_lines(), as_json=as_json)
        time.sleep(POLL_S)
    return 0


def _print(lines: Iterable[Line], *, as_json: bool) -> None:
    for line in lines:
        say(json.dumps(dataclasses.asdict(line)) if as_json else line.text)


def _must_be_known(settings: Settings, module: str) -> None:
    desired = AgentRecords(settings.state_dir / "desired").load_desired()
    known = {*modules_with_logs(settings), *(each.name for each in (desired.modules if desired else ()))}
    if module not in known:
        raise ModuleUnknownError(
            "this device knows no such module",
            where=module,
            fix=f"It has {', '.join(sorted(known)) or 'none'}.",
        )


def _lines(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MOST_LINES:
        raise argparse.ArgumentTypeError(f"a number from 0 to {MOST_LINES}")
    return number


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("module", metavar="MODULE", help="name of the module, as `status` shows it")
    parser.add_argument(
        "--follow", action="store_true", help="go on with what it prints (JSON: line by line)"
    )
    parser.add_argument("--lines", type=_lines, default=100, help="how many of the last lines (100)")


LOGS = Command(
    "logs",
    "print what a module printed, of its last container too",
    "headland-agent logs digits --lines 20 --follow",
    _run,
    _options,
)
