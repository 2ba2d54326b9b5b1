"""`headland-agent enroll`."""

import argparse
from pathlib import Path

from agent.commands.command import Command, show
from agent.identity.enrol import enrol, read_invitation
from agent.network.line import open_network
from agent.settings import Settings


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--invitation", type=Path, required=True, help="file of `headland device invite`")


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    network = open_network(settings.proxy)
    facts = enrol(read_invitation(arguments.invitation), settings.identity_dir, network).facts
    show(
        arguments,
        {"device": facts.device, "workspace": facts.workspace, "hub": facts.hub},
        f"enrolled as {facts.device} in workspace {facts.workspace} of {facts.hub}",
    )
    return 0


ENROLL = Command(
    "enroll",
    "get this device its identity from the hub",
    "headland-agent enroll --invitation cam-1.json --state-dir /var/lib/headland-agent",
    _run,
    _options,
)
