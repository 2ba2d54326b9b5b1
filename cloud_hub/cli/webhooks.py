"""`headland webhook`."""

import time
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, show, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import Delivery, WebhookFailedError, Workspace

app = group("Webhooks: addresses that are told what happens in the workspace.")

TEST_TIMEOUT_S = 30.0
LOOK_S = 0.3


@app.command(
    epilog="Example: headland webhook create https://ci.example.org/headland --event 'activity.*.failed'"
)
def create(
    url: str,
    event: Annotated[
        list[str] | None,
        typer.Option(help="Which events, '*' for any part; may be repeated. Else every end of an activity."),
    ] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Add a webhook; the secret that its deliveries are signed with is printed this once."""
    with connect(workspace) as ws:
        made = ws.webhooks.create(url, event or ())
    show(made, f"webhook {made.id} for {', '.join(made.events)}\nsecret: {made.secret}")


@app.command("list", epilog="Example: headland webhook list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the webhooks; never their secrets."""
    with connect(workspace) as ws:
        found = ws.webhooks.all()
    rows = [(w.id, w.url, ", ".join(w.events), w.state, w.created_by, w.created_at) for w in found]
    show_table(found, ["webhook", "address", "events", "state", "by", "created"], rows)


@app.command(epilog="Example: headland webhook delete 4be1c09a7d22f801")
def delete(webhook: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Forget a webhook, and what it was still to be told."""
    with connect(workspace) as ws:
        ws.webhooks.delete(webhook)
    show({"webhook": webhook}, f"webhook {webhook} is deleted")


@app.command(epilog="Example: headland webhook deliveries 4be1c09a7d22f801")
def deliveries(
    webhook: str,
    limit: Annotated[int, typer.Option(help="How many; 1 to 500.")] = 50,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Show what a webhook was told and is to be told, newest first."""
    with connect(workspace) as ws:
        found = ws.webhooks.deliveries(webhook, limit)
    rows = [
        (d.sequence, d.event, d.state, d.attempts, d.status or d.reason, d.created_at, d.next_at)
        for d in found
    ]
    show_table(found, ["number", "event", "state", "attempts", "last answer", "created", "next"], rows)


@app.command("test", epilog="Example: headland webhook test 4be1c09a7d22f801")
def send_test(webhook: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Send a webhook an event `webhook.test` and see what it answers."""
    with connect(workspace) as ws:
        found = _tried(ws, ws.webhooks.test(webhook))
    if found.state != "delivered":
        why = f"it answered {found.status}" if found.status else (found.reason or "others wait before it")
        raise WebhookFailedError(
            f"the test was not delivered: {why}",
            where=webhook,
            fix=f"It is sent again; see `headland webhook deliveries {webhook}`.",
        )
    show(found, f"delivered, answered {found.status}")


def _tried(ws: Workspace, queued: Delivery) -> Delivery:
    """Wait for the first attempt, or for as long as a person would."""
    until = time.monotonic() + TEST_TIMEOUT_S
    while True:
        recent = ws.webhooks.deliveries(queued.webhook)
        found = next((each for each in recent if each.sequence == queued.sequence), queued)
        if found.attempts or time.monotonic() > until:
            return found
        time.sleep(LOOK_S)
