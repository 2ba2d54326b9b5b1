"""`headland audit`."""

from datetime import datetime
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, cell, show, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.sdk import AuditLog, Hub, SdkError

app = group("The audit log: who changed what, and whether the log is whole.")

OfHub = Annotated[bool, typer.Option("--hub", help="The hub's own log, for its administrator.")]
Moment = Annotated[datetime | None, typer.Option(help="A day or time, in your time zone.")]


@app.command("list", epilog="Example: headland audit list --principal ana --since 2026-11-01")
def list_(
    principal: Annotated[str | None, typer.Option(help="Only what this principal did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as secret.read.")] = None,
    since: Moment = None,
    until: Moment = None,
    before: Annotated[int | None, typer.Option(help="Only entries before this number.")] = None,
    limit: Annotated[int, typer.Option(help="Most entries to show.")] = 100,
    of_hub: OfHub = False,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Show the newest entries."""
    with Hub.connect() as hub:
        found = _log(hub, workspace, of_hub).entries(
            principal=principal,
            action=action,
            since=since.astimezone() if since else None,
            until=until.astimezone() if until else None,
            before=before,
            limit=limit,
        )
    rows = [
        (e.sequence, _local(e.at), e.principal, e.action, e.target, e.address or None, _words(e.details))
        for e in found
    ]
    show_table(found, ["entry", "at", "by", "action", "target", "from", "details"], rows)


@app.command(epilog="Example: headland audit verify")
def verify(
    noted: Annotated[
        str, typer.Option(help="An end (ENTRY:MAC) that this command printed before, kept elsewhere.")
    ] = "",
    of_hub: OfHub = False,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Check every entry; exit code 1 and the broken entries where the log was tampered with."""
    sequence, mac = _noted(noted)
    with Hub.connect() as hub:
        verdict = _log(hub, workspace, of_hub).verify(sequence, mac)
    lines = [f"entry {f.sequence}: {f.reason}" if f.sequence else f.reason for f in verdict.faults]
    if not lines:
        lines = [f"whole: {verdict.entries} entries, end {verdict.entries}:{verdict.last}"]
    show(verdict, "\n".join(lines))
    if verdict.faults:
        raise typer.Exit(1)


def _log(hub: Hub, workspace: str, of_hub: bool) -> AuditLog:
    return hub.audit if of_hub else hub.workspace(workspace).audit


def _noted(text: str) -> tuple[int | None, str | None]:
    if not text:
        return None, None
    sequence, _, mac = text.partition(":")
    if not sequence.isascii() or not sequence.isdigit() or not mac:
        raise SdkError("--noted is not an end of a log", fix="Write it as `audit verify` printed it.")
    return int(sequence), mac


def _local(at: str) -> str:
    try:
        return cell(datetime.fromisoformat(at))
    except ValueError:
        return at  # tampered with, so shown as it is


def _words(details: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in details.items())
