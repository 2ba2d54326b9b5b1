"""`headland-agent run` and `headland-agent down`."""

import argparse
import logging
import os
import resource
import signal
import sys
import threading

from agent.app import Agent
from agent.commands.command import Command, show
from agent.durable import is_of_disk
from agent.errors import AgentError, StateWriteError
from agent.selfupdate.launch import Launch, take
from agent.service import ServiceManager
from agent.settings import Settings


def _run(_: argparse.Namespace, settings: Settings) -> int:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # What the agent has in memory for a moment, keys and secrets of modules, goes into no core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    environment = dict(os.environ)  # as the launcher has it
    launch = take(os.environ)
    service = ServiceManager(os.environ)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if _agent(settings, launch).run(stopping, service) and launch is not None:
        sys.stdout.flush()
        os.execve(launch.program, [launch.program, *sys.argv[1:]], environment)  # noqa: S606  no shell is meant
    return 0


def _agent(settings: Settings, launch: Launch | None = None) -> Agent:
    try:
        return Agent(settings, launch)
    except OSError as error:
        if not is_of_disk(error):
            raise
        raise StateWriteError(
            f"the state folder cannot be worked with ({error.strerror})",
            where=str(error.filename or settings.state_dir),
            fix="Check the disk: is it full or read-only, or does it fail?",
        ) from error


def _timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout-s", type=float, default=60.0, help="how long to wait")


def _down(arguments: argparse.Namespace, settings: Settings) -> int:
    logging.basicConfig(level="WARNING", format="%(levelname)s %(name)s: %(message)s")
    if not _agent(settings).retire(timeout_s=arguments.timeout_s):
        raise AgentError(
            f"containers are left after {arguments.timeout_s:g} s", fix="Run `headland-agent down` again."
        )
    show(arguments, {}, "no container is left")
    return 0


RUN = Command(
    "run",
    "run the daemon until SIGTERM; containers run on after it",
    "headland-agent run --config /etc/headland/agent.toml",
    _run,
)
DOWN = Command(
    "down",
    "stop and remove all containers of this device",
    "headland-agent down --timeout-s 120",
    _down,
    _timeout,
)
