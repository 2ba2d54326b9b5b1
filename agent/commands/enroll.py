"""`headland-agent enroll`."""

import argparse
import sys
from pathlib import Path
from typing import Final

from agent.commands.command import Command, show
from agent.errors import EnrolmentError
from agent.identity.claiming import Claiming, begin
from agent.identity.enrol import enrol, read_given
from agent.identity.store import Identity
from agent.network.line import open_network
from agent.settings import Settings
from contract.enrolment import Claim, Invitation

WAITS: Final = 3
"""The exit code of a device that waits still: it has no identity, and nothing went wrong."""


def _options(parser: argparse.ArgumentParser) -> None:
    by = parser.add_mutually_exclusive_group()
    by.add_argument("--invitation", type=Path, help="file of `headland device invite`")
    by.add_argument(
        "--claim", type=Path, help="file of `headland device claim create`: an Owner has to accept"
    )
    parser.add_argument(
        "--name", help="with --claim: the device's id; else one of its serial number or machine id"
    )
    parser.add_argument("--key", type=Path, help="with --claim: a private key (PEM) that was made for it")
    parser.add_argument(
        "--no-wait", action="store_true", help="with --claim: ask once; a later enroll goes on"
    )


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    network = open_network(settings.proxy)
    if arguments.invitation is not None:
        if arguments.name is not None or arguments.key is not None or arguments.no_wait:
            raise EnrolmentError("--name, --key and --no-wait are for a claim", fix="Leave them out.")
        _tell(arguments, enrol(read_given(arguments.invitation, Invitation), settings.identity_dir, network))
        return 0
    claim = read_given(arguments.claim, Claim) if arguments.claim is not None else None
    claiming = begin(claim, arguments.name, settings.identity_dir, arguments.key)
    # Where people look for it, also while the answer is JSON.
    _note(f"{claiming.asked.device}: the key of this device is SHA-256 {claiming.key_sha256}")
    if not arguments.no_wait:
        _tell(arguments, claiming.wait(lambda words: _note(f"{claiming.asked.device}: {words}"), network))
        return 0
    identity = claiming.ask(network)
    if identity is None:
        _tell_waiting(arguments, claiming)
        return WAITS
    _tell(arguments, identity)
    return 0


def _note(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201  for the person


def _tell_waiting(arguments: argparse.Namespace, claiming: Claiming) -> None:
    device, key = claiming.asked.device, claiming.key_sha256
    show(
        arguments,
        {"device": device, "state": "waiting", "key_sha256": key, "hub": claiming.asked.claim.hub},
        f"{device} waits until an Owner accepts it; then run `headland-agent enroll` again",
    )


def _tell(arguments: argparse.Namespace, identity: Identity) -> None:
    facts = identity.facts
    show(
        arguments,
        {"device": facts.device, "workspace": facts.workspace, "hub": facts.hub},
        f"enrolled as {facts.device} in workspace {facts.workspace} of {facts.hub}",
    )


ENROLL = Command(
    "enroll",
    "get this device its identity from the hub",
    "headland-agent enroll --invitation cam-1.json --state-dir /var/lib/headland-agent",
    _run,
    _options,
)
