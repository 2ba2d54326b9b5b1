"""`headland-agent`: the device daemon's command line."""

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from agent.app import Agent
from agent.endpoints.listeners import Listeners
from agent.errors import AgentError
from agent.identity import store as identity_store
from agent.identity.enrol import enrol, read_invitation
from agent.network.line import open_network
from agent.reconcile.records import AgentRecords, ContainerRecords
from agent.settings import Settings, load
from agent.version import VERSION
from contract.errors import HeadlandError

EXAMPLES = """examples:
  headland-agent enroll --invitation cam-1.json --state-dir /var/lib/headland-agent
  headland-agent run --config /etc/headland/agent.toml
  headland-agent status --output json
  headland-agent down
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command; an error prints one line and gives exit code 1 (usage: 2)."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace, Settings], int] = arguments.command
    try:
        settings = load(arguments.config, state_dir=arguments.state_dir, driver=arguments.driver)
        return command(arguments, settings)
    except HeadlandError as error:
        if arguments.output == "json":
            _say(json.dumps({"error": error.code, "detail": str(error), "retriable": error.retriable}))
        print(f"error: {error} [{error.code}]", file=sys.stderr)  # noqa: T201  for the person
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, help="settings file (TOML); see configs/agent.toml")
    shared.add_argument("--state-dir", type=Path, help="overrides state_dir of the settings")
    shared.add_argument("--driver", choices=["auto", "runc", "process"], help="overrides driver")
    shared.add_argument("--output", choices=["text", "json"], default="text", help="how to print")
    parser = argparse.ArgumentParser(
        prog="headland-agent",
        description="Runs signed scoring containers on this device and sends what they measure to the hub.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"headland-agent {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, words: str, command: Callable[[argparse.Namespace, Settings], int]) -> None:
        sub = commands.add_parser(name, help=words, description=words, parents=[shared])
        sub.set_defaults(command=command)
        if name == "enroll":
            sub.add_argument(
                "--invitation", type=Path, required=True, help="file of `headland device invite`"
            )
        if name == "down":
            sub.add_argument("--timeout-s", type=float, default=60.0, help="how long to wait")

    add("enroll", "get this device its identity from the hub", _enroll)
    add("run", "run the daemon until SIGTERM; containers run on after it", _run)
    add("status", "show what this device holds, without the hub", _status)
    add("down", "stop and remove all containers of this device", _down)
    return parser


def _enroll(arguments: argparse.Namespace, settings: Settings) -> int:
    identity = enrol(
        read_invitation(arguments.invitation), settings.identity_dir, open_network(settings.proxy)
    )
    facts = identity.facts
    if arguments.output == "json":
        _say(json.dumps({"device": facts.device, "workspace": facts.workspace, "hub": facts.hub}))
    else:
        _say(f"enrolled as {facts.device} in workspace {facts.workspace} of {facts.hub}")
    return 0


def _run(_: argparse.Namespace, settings: Settings) -> int:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    Agent(settings).run(stopping)
    return 0


def _down(arguments: argparse.Namespace, settings: Settings) -> int:
    logging.basicConfig(level="WARNING", format="%(levelname)s %(name)s: %(message)s")
    if not Agent(settings).retire(timeout_s=arguments.timeout_s):
        raise AgentError(
            f"containers are left after {arguments.timeout_s:g} s", fix="Run `headland-agent down` again."
        )
    _say("{}" if arguments.output == "json" else "no container is left")
    return 0


def _status(arguments: argparse.Namespace, settings: Settings) -> int:
    identity = identity_store.load(settings.identity_dir)
    records, containers = (
        AgentRecords(settings.state_dir / "desired"),
        ContainerRecords(settings.state_dir / "containers"),
    )
    desired, memory = records.load_desired(), records.load_memory()
    listeners = Listeners(settings.state_dir / "run")
    status = {
        "device": identity.facts.device,
        "workspace": identity.facts.workspace,
        "hub": identity.facts.hub,
        "generation": desired.generation if desired else 0,
        "modules": [
            {
                "name": module.name,
                "image": module.image.name,
                "committed": memory.committed.get(module.name) == module,
                "endpoint": f"unix:{listeners.path(module.name)}",
                "failed": memory.failed[module.name].reason if module.name in memory.failed else None,
            }
            for module in (desired.modules if desired else ())
        ],
        "containers": [
            {
                "id": record.id,
                "image": record.module.image.name,
                "ready": containers.marked(record.id, "ready"),
            }
            for record in containers.all()
        ],
    }
    _say(json.dumps(status, indent=None if arguments.output == "json" else 2))
    return 0


def _say(line: str) -> None:
    print(line)  # noqa: T201  the command's result


if __name__ == "__main__":
    sys.exit(main())
