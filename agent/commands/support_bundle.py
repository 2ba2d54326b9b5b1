"""`headland-agent support-bundle`."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from agent.commands.command import Command, show
from agent.settings import Settings

WITHOUT_LOGS = "It has no key, token, sample, environment or line that a module printed."
WITH_LOGS = "What modules printed is in it as they printed it: read logs/ before you pass it on."


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    # Here: the daemon, which is a command too, would hold it in memory for ever.
    from agent.support.bundle import write_bundle  # noqa: PLC0415

    path = arguments.file or Path(f"headland-agent-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    names = write_bundle(settings, path, with_logs=arguments.with_logs)
    show(
        arguments,
        {"file": str(path), "members": names},
        f"wrote {path}: {', '.join(names)}\n{WITH_LOGS if arguments.with_logs else WITHOUT_LOGS}",
    )
    return 0


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", type=Path, help="where to write it (headland-agent-TIME.tar.gz here)")
    parser.add_argument("--with-logs", action="store_true", help="add what modules printed, as they did")


SUPPORT_BUNDLE = Command(
    "support-bundle",
    "write what helps to find a fault into a tar file, without secrets",
    "headland-agent support-bundle --file cam-1.tar.gz",
    _run,
    _options,
)
