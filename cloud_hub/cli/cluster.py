"""`headland hub processes`, `export-keys` and `join`: several hubs that are one."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.hub import DEFAULT_DATA_DIR, DataDir
from cloud_hub.cli.output import Format, Output, show, show_table
from cloud_hub.cli.secret_input import read_file, write_private
from cloud_hub.sdk import Hub, SdkError

PassphraseFile = Annotated[Path, typer.Option(help="A file with the passphrase that seals the keys.")]


def processes(output: Output = Format.TEXT) -> None:
    """Show the processes that this hub is, and what each does for all."""
    with Hub.connect() as hub:
        found = hub.processes()
    rows = [
        (m.address, "here" if m.here else "away", m.release, m.started_at, m.seen_at, ", ".join(m.work))
        for m in found
    ]
    show_table(found, ["hub", "state", "release", "started", "seen", "work"], rows)


def export_keys(
    file: Annotated[Path, typer.Argument(help="A new file, for the other hubs of the cluster.")],
    passphrase_file: PassphraseFile,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: Output = Format.TEXT,
) -> None:
    """Seal this hub's keys and settings in a file, for another hub on the same rows and bytes."""
    from cloud_hub.cluster.joining import export_keys as seal  # noqa: PLC0415  the CLI starts without the hub
    from cloud_hub.core import open_bytes  # noqa: PLC0415
    from cloud_hub.init import SETTINGS_FILE, require_initialised  # noqa: PLC0415
    from cloud_hub.settings import load  # noqa: PLC0415

    require_initialised(data_dir)
    settings = load(data_dir / SETTINGS_FILE, data_dir=data_dir.resolve())
    passphrase = read_file(passphrase_file, option="--passphrase-file")
    if settings.clustered:
        open_bytes(settings)  # claims the store, whose mark the others need
    write_private(file, lambda: seal(settings, passphrase))
    show(
        {"file": str(file)},
        f"The keys of this hub are in {file}, sealed; with the passphrase they are the hub.\n"
        f"On another machine: headland hub join {file.name} --passphrase-file FILE --cluster-address ADDRESS",
    )


def join(
    file: Annotated[Path, typer.Argument(help="The file of `headland hub export-keys`.")],
    passphrase_file: PassphraseFile,
    cluster_address: Annotated[str, typer.Option(help="host:port at which the other hubs reach this one.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    listen: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    https_port: Annotated[int | None, typer.Option(help="Port of the API, enrolment and registry.")] = None,
    mqtt_port: Annotated[int | None, typer.Option(help="Port of MQTT over TLS.")] = None,
    object_store_credentials: Annotated[
        str | None, typer.Option(help="A file of mode 0600 here; else the environment.")
    ] = None,
    output: Output = Format.TEXT,
) -> None:
    """Make another process of a hub in a folder of this machine; `headland hub up` runs it."""
    from cloud_hub.cluster.joining import join as make  # noqa: PLC0415  as above

    own = {
        "cluster_address": cluster_address,
        "listen": listen,
        "https_port": https_port,
        "mqtt_port": mqtt_port,
        "object_store_credentials": object_store_credentials,
    }
    passphrase = read_file(passphrase_file, option="--passphrase-file")
    settings = make(_read(file), passphrase, data_dir.resolve(), own)
    show(
        {"data_dir": str(settings.data_dir), "hub": settings.url, "cluster_address": cluster_address},
        f"A process of the hub at {settings.url} is in {settings.data_dir}.\n"
        f"Start it: headland hub up --data-dir {data_dir}",
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SdkError(
            f"cannot read the file ({error.strerror})", where=str(file), fix="Check its path."
        ) from error
