"""`headland hub backup` and `headland hub restore`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.hub import DEFAULT_DATA_DIR, DataDir
from cloud_hub.cli.output import Format, Output, show, size
from cloud_hub.cli.progress import bytes_bar
from cloud_hub.cli.secret_input import read_file
from cloud_hub.sdk import SdkError

Passphrase = Annotated[
    Path | None, typer.Option(help="A file with the passphrase that seals the hub's keys in the backup.")
]


def backup(
    target: Annotated[Path, typer.Argument(help="A new folder, or that of an earlier backup.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    passphrase_file: Passphrase = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave the keys out; they are kept elsewhere.")
    ] = False,
    output: Output = Format.TEXT,
) -> None:
    """Copy a hub, running or not: its rows at one instant, all bytes, and its keys, sealed."""
    from cloud_hub.backup.service import back_up  # noqa: PLC0415  the CLI starts without the hub's packages
    from cloud_hub.core import open_bytes  # noqa: PLC0415
    from cloud_hub.init import PKI, SETTINGS_FILE, database_of, require_initialised  # noqa: PLC0415
    from cloud_hub.settings import load, portable  # noqa: PLC0415

    if without_keys == (passphrase_file is not None):
        raise SdkError(
            "it is not said what becomes of the hub's keys",
            fix="Give --passphrase-file FILE or --without-keys.",
        )
    require_initialised(data_dir)
    settings = load(data_dir / SETTINGS_FILE, data_dir=data_dir.resolve())
    passphrase = read_file(passphrase_file, option="--passphrase-file") if passphrase_file else None
    database, (store, _) = database_of(settings), open_bytes(settings)
    with bytes_bar("backup") as moved:
        manifest = back_up(
            database,
            store,
            settings.data_dir / PKI,
            target,
            settings=portable(settings),
            passphrase=passphrase,
            moved=moved,
        )
    database.close()
    rows = sum(table["rows"] for table in manifest["tables"])
    keys = "with its keys" if manifest["keys"] else "without its keys"
    show(
        {name: manifest[name] for name in ("at", "schema", "objects", "bytes", "keys")} | {"rows": rows},
        f"{target}: {rows} rows, {manifest['objects']} objects, {size(manifest['bytes'])}, {keys}",
    )


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="The folder of a backup.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    passphrase_file: Passphrase = None,
    database: Annotated[str, typer.Option(help="URL of an empty PostgreSQL database; else SQLite.")] = "",
    object_store: Annotated[str, typer.Option(help="URL of an empty place for bytes; else the folder.")] = "",
    output: Output = Format.TEXT,
) -> None:
    """Make a hub of a backup, in a new data folder; `headland hub up` goes on from there."""
    from cloud_hub.backup.service import read_manifest  # noqa: PLC0415  as above
    from cloud_hub.backup.service import restore as put_back  # noqa: PLC0415
    from cloud_hub.core import open_bytes  # noqa: PLC0415
    from cloud_hub.init import database_of, make_folders, require_new, write_settings  # noqa: PLC0415
    from cloud_hub.settings import from_portable  # noqa: PLC0415

    manifest = read_manifest(source)
    require_new(data_dir)
    settings = from_portable(
        manifest["settings"], data_dir=data_dir.resolve(), database=database, object_store=object_store
    )
    passphrase = read_file(passphrase_file, option="--passphrase-file") if passphrase_file else None
    private = make_folders(settings.data_dir)
    rows, (store, _) = database_of(settings), open_bytes(settings)
    with bytes_bar("restore", manifest["bytes"]) as moved:
        put_back(source, rows, store, private, passphrase=passphrase, moved=moved)
    rows.close()
    write_settings(settings)
    os.sync()
    show(
        {"data_dir": str(settings.data_dir), "at": manifest["at"], "hub": settings.url},
        f"The hub of {manifest['at']} is in {settings.data_dir}.\n"
        f"Start it: headland hub up --data-dir {data_dir}",
    )
