"""`headland-agent`: the device daemon's command line."""

import argparse
import json
import sys
from pathlib import Path

from agent.commands.apply import APPLY
from agent.commands.check import CHECK
from agent.commands.command import Command, say
from agent.commands.enroll import ENROLL
from agent.commands.logs import LOGS
from agent.commands.run import DOWN, RUN
from agent.commands.status import STATUS
from agent.commands.support_bundle import SUPPORT_BUNDLE
from agent.settings import load
from agent.version import VERSION
from contract.errors import HeadlandError

COMMANDS = (ENROLL, RUN, STATUS, CHECK, LOGS, SUPPORT_BUNDLE, APPLY, DOWN)


def main(argv: list[str] | None = None) -> int:
    """Run a command; an error prints one line and gives exit code 1 (usage: 2)."""
    arguments = _parser().parse_args(argv)
    command: Command = arguments.command
    try:
        settings = load(arguments.config, state_dir=arguments.state_dir, driver=arguments.driver)
        return command.run(arguments, settings)
    except HeadlandError as error:
        if arguments.output == "json":
            say(json.dumps({"error": error.code, "detail": str(error), "retriable": error.retriable}))
        print(f"error: {error} [{error.code}]", file=sys.stderr)  # noqa: T201  for the person
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, help="settings file (TOML); see configs/agent.toml")
    shared.add_argument("--state-dir", type=Path, help="overrides state_dir of the settings")
    shared.add_argument("--driver", choices=["auto", "runc", "docker", "process"], help="overrides driver")
    shared.add_argument("--output", choices=["text", "json"], default="text", help="how to print")
    parser = argparse.ArgumentParser(
        prog="headland-agent",
        description="Runs signed scoring containers on this device and sends what they measure to the hub.",
        epilog="examples:\n" + "".join(f"  {command.example}\n" for command in COMMANDS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"headland-agent {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name,
            help=command.words,
            description=command.words,
            epilog=f"example: {command.example}",
            parents=[shared],
        )
        sub.set_defaults(command=command)
        command.options(sub)
    return parser


if __name__ == "__main__":
    sys.exit(main())
