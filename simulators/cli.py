"""`headland-sim`: the simulators' command line."""

import argparse
import sys

from contract.errors import HeadlandError
from simulators.fleet import command as fleet


def main(argv: list[str] | None = None) -> int:
    """Run a command; an error prints one line and gives exit code 1 (usage: 2)."""
    arguments = _parser().parse_args(argv)
    try:
        return fleet.run(arguments)
    except HeadlandError as error:
        print(f"error: {error} [{error.code}]", file=sys.stderr)  # noqa: T201  for the person
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headland-sim",
        description="Simulates what a hub meets: fleets of devices on the real wire.",
        epilog=f"example: {fleet.EXAMPLE}",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    sub = commands.add_parser(
        "fleet", help=fleet.WORDS, description=fleet.WORDS, epilog=f"example: {fleet.EXAMPLE}"
    )
    fleet.add_options(sub)
    return parser


if __name__ == "__main__":
    sys.exit(main())
