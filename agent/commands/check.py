"""`headland-agent check`."""

import argparse
import dataclasses

from agent.checks.finding import Finding
from agent.commands.command import Command, show
from agent.settings import Settings


def table(found: tuple[Finding, ...]) -> str:
    """Return the findings as a table, with what to do below each that is not well."""
    width = max(len(finding.name) for finding in found)
    lines = []
    for finding in found:
        lines.append(f"{finding.verdict:<8} {finding.name:<{width}}  {finding.words}")
        if finding.fix:
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.fix}")
    return "\n".join(lines)


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    # Here: the daemon, which is a command too, would hold it in memory for ever.
    from agent.checks.all import findings  # noqa: PLC0415

    found = findings(settings)
    count = sum(finding.verdict == "failed" for finding in found)
    show(
        arguments,
        {"failed": count, "findings": [dataclasses.asdict(finding) for finding in found]},
        table(found),
    )
    return 1 if count else 0


CHECK = Command(
    "check",
    "look at clock, names, TLS, disk, cgroups, driver and certificate, and say what to do",
    "headland-agent check --config /etc/headland/agent.toml",
    _run,
)
