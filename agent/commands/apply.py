"""`headland-agent apply`: a signed document from a file, with or without a hub and a running daemon."""

import argparse
import os
import time
from pathlib import Path

import msgspec

from agent.commands.command import Command, show
from agent.endpoints.control import MAX_DOCUMENT_BYTES, Applied, applied, hand_over
from agent.errors import (
    AlreadyRunningError,
    ControlUnavailableError,
    DocumentRefusedError,
    DocumentUnreadableError,
)
from agent.identity import store as identity_store
from agent.lock import lock_state
from agent.policy.file import PolicyFile
from agent.reconcile.records import AgentRecords
from agent.settings import Settings
from agent.trust.desk import Desk, open_floor

PATIENCE_S = 10.0  # an agent that starts or ends holds its folder and does not answer yet, or any more
RETRY_S = 0.1


def apply_document(settings: Settings, envelope: bytes) -> tuple[Applied, bool]:
    """Put a document in force; return what is, and whether a running daemon took it."""
    identity = identity_store.load(settings.identity_dir)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            lock = lock_state(settings.state_dir)
        except AlreadyRunningError:
            try:
                return hand_over(settings.state_dir, envelope), True
            except ControlUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_S)
                continue
        try:
            records = AgentRecords(settings.state_dir / "desired")
            time_floor = open_floor(settings.state_dir / "desired", identity, records.load_desired())
            policy = PolicyFile(settings.policy_path)
            desk = Desk(
                identity.facts, records.load_desired, records.save_desired, time_floor, policy.refuses
            )
            return applied(envelope, desk.offer, records.load_desired), False
        finally:
            os.close(lock)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise DocumentUnreadableError(
            f"cannot read the document ({error.strerror})", where=str(path), fix="Check the path."
        ) from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise DocumentUnreadableError(
            f"a document has at most {MAX_DOCUMENT_BYTES} bytes",
            where=str(path),
            fix="Give the file that `headland device document` wrote.",
        )
    return data


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        result, running = apply_document(settings, _read(arguments.file))
    except DocumentRefusedError as refused:
        raise DocumentRefusedError(refused.code, refused.what, where=str(arguments.file)) from refused
    who = "the running daemon acts on it" if running else "the next `headland-agent run` acts on it"
    words = f"generation {result.generation} ({result.rollout}) is in force"
    show(
        arguments,
        msgspec.to_builtins(result) | {"running": running},
        f"{words}; {who}" if result.accepted else f"{words} already",
    )
    return 0


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="what `headland device document` wrote")


APPLY = Command(
    "apply",
    "put a signed desired document from a file in force; no hub is needed",
    "headland-agent apply cam-1.document.json",
    _run,
    _options,
)
