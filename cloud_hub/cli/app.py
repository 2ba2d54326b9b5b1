"""`headland`: the admin CLI."""

import sys
from typing import Annotated

import typer

from cloud_hub.cli import (
    activities,
    agents,
    audit,
    backups,
    claims,
    cluster,
    datastores,
    devices,
    experiments,
    hub,
    image_registry,
    importing,
    login,
    models,
    rollouts,
    rounding,
    runs,
    secrets,
    telemetry,
    tokens,
    users,
    webhooks,
    workspaces,
)
from cloud_hub.cli.output import show_error
from cloud_hub.version import VERSION
from contract.errors import HeadlandError

app = typer.Typer(
    name="headland",
    help="Puts machine-learning models to work on fleets of edge devices.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
hub.app.command(epilog="Example: headland hub backup /mnt/backups/hub --passphrase-file passphrase")(
    backups.backup
)
hub.app.command(epilog="Example: headland hub restore /mnt/backups/hub --data-dir hub2 --passphrase-file p")(
    backups.restore
)
hub.app.command(epilog="Example: headland hub processes")(cluster.processes)
hub.app.command(
    "export-keys", epilog="Example: headland hub export-keys hub.keys --passphrase-file passphrase"
)(cluster.export_keys)
hub.app.command(
    epilog="Example: headland hub join hub.keys --passphrase-file passphrase --cluster-address 10.0.0.2:6222"
)(cluster.join)
models.app.command(
    epilog="Example: headland model quantise-update digits:1 tuned.onnx --data samples.npz --accept"
)(rounding.quantise_update)
devices.app.add_typer(claims.app, name="claim")
devices.app.command(epilog="Example: headland device pending")(claims.pending)
devices.app.command(epilog="Example: headland device accept cam-7")(claims.accept)
devices.app.command(epilog="Example: headland device reject cam-7")(claims.reject)
devices.app.command(epilog="Example: headland device register cam-7 --public-key cam-7.pem")(claims.register)
for group, name in (
    (hub.app, "hub"),
    (workspaces.app, "workspace"),
    (users.app, "user"),
    (tokens.service_app, "service"),
    (tokens.app, "token"),
    (experiments.app, "experiment"),
    (runs.app, "run"),
    (models.app, "model"),
    (image_registry.app, "image"),
    (devices.app, "device"),
    (agents.app, "agent"),
    (rollouts.app, "rollout"),
    (importing.app, "import"),
    (telemetry.app, "telemetry"),
    (activities.app, "activity"),
    (datastores.app, "datastore"),
    (secrets.app, "secret"),
    (audit.app, "audit"),
    (webhooks.app, "webhook"),
):
    app.add_typer(group, name=name)
for command, example in (
    (login.login, "headland login --invitation ana.json"),
    (login.logout, "headland logout"),
    (login.whoami, "headland whoami"),
    (login.password, "headland password"),
):
    app.command(epilog=f"Example: {example}")(command)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"headland {VERSION}\n")
        raise typer.Exit


@app.callback()
def headland(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Puts machine-learning models to work on fleets of edge devices."""


def main() -> None:
    """Run a command; an error prints one clear message and gives exit code 1 (usage: 2)."""
    try:
        app()
    except HeadlandError as error:
        show_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
