"""What a command is to the command line, and how it prints its result."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass

from agent.settings import Settings


def _no_options(_: argparse.ArgumentParser) -> None:
    pass


@dataclass(frozen=True)
class Command:
    """A command: ``run`` returns the exit code; ``options`` adds what only this command takes."""

    name: str
    words: str
    example: str
    run: Callable[[argparse.Namespace, Settings], int]
    options: Callable[[argparse.ArgumentParser], None] = _no_options


def say(line: str) -> None:
    """Print a line of the command's result."""
    print(line, flush=True)  # noqa: T201  the command's result


def show(arguments: argparse.Namespace, value: object, text: str) -> None:
    """Print ``value`` as JSON where that is asked for, else ``text``."""
    say(json.dumps(value) if arguments.output == "json" else text)
