"""`headland hub`: make a hub and run it. The only commands that need the hub's own packages."""

import asyncio
import gc
import logging
from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, progress_console, show
from cloud_hub.cli.session import group
from cloud_hub.sdk.context import Context, save_context

app = group("Make a hub, and run it.")

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where the hub keeps everything.")]
DEFAULT_DATA_DIR = Path("headland-data")


@app.command(epilog="Example: headland hub init --data-dir ./headland-data --host hub.example.org")
def init(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    host: Annotated[str, typer.Option(help="Name that people and devices reach it by.")] = "localhost",
    listen: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    https_port: Annotated[int, typer.Option(help="Port of the API, enrolment and registry.")] = 8443,
    mqtt_port: Annotated[int, typer.Option(help="Port of MQTT over TLS.")] = 8883,
    database: Annotated[
        str, typer.Option(help="PostgreSQL URL without a password; else SQLite in the folder.")
    ] = "",
    object_store: Annotated[str, typer.Option(help="URL of an empty place for bytes; else the folder.")] = "",
    cluster_address: Annotated[
        str, typer.Option(help="Of several hubs: host:port at which the others reach this one.")
    ] = "",
    cluster_member: Annotated[
        list[str] | None,
        typer.Option(help="The --cluster-address of each hub, this one's too; three or five."),
    ] = None,
    public_https_port: Annotated[int, typer.Option(help="The API's port at what stands before it.")] = 0,
    public_mqtt_port: Annotated[int, typer.Option(help="MQTT's port at what stands before it.")] = 0,
    output: Output = Format.TEXT,
) -> None:
    """Make a new hub in a folder, and log this user in as its administrator."""
    from cloud_hub.init import PKI, initialise  # noqa: PLC0415  the CLI starts without the hub's packages
    from cloud_hub.settings import Settings  # noqa: PLC0415

    settings = Settings(
        data_dir=data_dir.resolve(),
        database=database,
        host=host,
        listen=listen,
        https_port=https_port,
        mqtt_port=mqtt_port,
        object_store=object_store,
        cluster_address=cluster_address,
        cluster_members=tuple(cluster_member or ()),
        public_https_port=public_https_port,
        public_mqtt_port=public_mqtt_port,
    )
    token = initialise(settings)
    ca_pem = (settings.data_dir / PKI / "ca.pem").read_text()
    path = save_context(Context(hub=settings.url, ca_pem=ca_pem, token=token))
    show(
        {"hub": settings.url, "data_dir": str(settings.data_dir), "context": str(path)},
        f"A new hub is in {settings.data_dir}; it will be at {settings.url}.\n"
        f"You are logged in as its administrator ({path}).\n"
        f"Start it: headland hub up --data-dir {data_dir}",
    )


@app.command(epilog="Example: headland hub up --data-dir ./headland-data")
def up(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run the hub until it is told to stop (SIGTERM or Ctrl-C)."""
    # What is imported stays: looking for garbage in it is a sixth of the start, and no use later.
    gc.disable()
    import uvloop  # noqa: PLC0415

    from cloud_hub.app import run  # noqa: PLC0415
    from cloud_hub.init import SETTINGS_FILE, require_initialised  # noqa: PLC0415
    from cloud_hub.settings import load  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    require_initialised(data_dir)
    settings = load(data_dir / SETTINGS_FILE, data_dir=data_dir.resolve())
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("alembic").setLevel("WARNING")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings))


@app.command("rotate-master-key", epilog="Example: headland hub rotate-master-key --data-dir ./headland-data")
def rotate_master_key(data_dir: DataDir = DEFAULT_DATA_DIR, output: Output = Format.TEXT) -> None:
    """Give the vault a new master key, while the hub is stopped. Run it again if it was cut off."""
    from cloud_hub.init import PKI, SETTINGS_FILE, database_of, require_initialised  # noqa: PLC0415
    from cloud_hub.keys import rotate_master_key as rotate  # noqa: PLC0415
    from cloud_hub.settings import load  # noqa: PLC0415

    require_initialised(data_dir)
    settings = load(data_dir / SETTINGS_FILE, data_dir=data_dir.resolve())
    database = database_of(settings)
    try:
        with progress_console.status("wrapping keys anew") as status:
            done = rotate(
                settings.data_dir,
                settings.data_dir / PKI,
                database,
                lambda rows: status.update(f"wrapping keys anew: {rows}"),
                settings.cluster_address,
            )
    finally:
        database.close()
    show(
        {"active": done.active, "retired": done.retired, "rewrapped": done.rewrapped},
        f"The master key is now {done.active}; {done.rewrapped} keys of secrets are wrapped anew.\n"
        f"Retired: {', '.join(done.retired)}",
    )
