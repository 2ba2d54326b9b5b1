"""`headland device claim`, and the devices that wait by claims."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, cell, show, show_table
from cloud_hub.cli.pairs import Pairs, joined, pairs
from cloud_hub.cli.secret_input import read_file, write_private
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from contract.encoding import encode

app = group("Claims: files by which many devices may ask to be let in, as from one disk image.")

Fingerprint = Annotated[
    str | None, typer.Option(help="The key that the device shows itself; needed where several wait.")
]


@app.command(epilog="Example: headland device claim create line-3 --max 40 --file line-3.json")
def create(
    name: str,
    file: Annotated[Path, typer.Option(help="Where to write the claim; put it into the disk image.")],
    expires: Annotated[int, typer.Option(help="For how many hours devices may ask by it.")] = 168,
    most: Annotated[
        int, typer.Option("--max", help="For how many devices it is: those that wait and those accepted.")
    ] = 100,
    tag: Annotated[Pairs, typer.Option(help="NAME=VALUE for each device; may be given again.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Make a claim: a device that has its file may ask, and waits until an Owner accepts it."""
    tags = pairs(tag)
    with connect(workspace) as ws:
        write_private(file, lambda: encode(ws.create_claim(name, hours=expires, most=most, tags=tags)))
    show(
        {"claim": name, "file": str(file)},
        f"claim {name} is in {file}; up to {most} devices may ask by it, for {expires} h.\n"
        f"On each device: headland-agent enroll --claim {file.name}",
    )


@app.command("list", epilog="Example: headland device claim list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the claims, never their secrets."""
    with connect(workspace) as ws:
        claims = ws.claims()
    rows = [
        (
            c.name,
            "revoked" if c.revoked_at else cell(c.expires_at),
            c.waiting,
            c.accepted,
            c.most,
            joined(c.tags),
            c.created_by,
        )
        for c in claims
    ]
    show_table(claims, ["claim", "until", "waiting", "accepted", "at most", "tags", "by"], rows)


@app.command(epilog="Example: headland device claim revoke line-3")
def revoke(claim: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """End a claim: nobody asks by it any more, and who waits by it is forgotten."""
    with connect(workspace) as ws:
        info = ws.revoke_claim(claim)
    show(info, f"claim {claim} is revoked; devices that were accepted by it: {info.accepted}, which stay")


def pending(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the devices that wait; compare the fingerprint with what the device shows itself."""
    with connect(workspace) as ws:
        devices = ws.pending_devices()
    rows = [(d.device, d.claim, d.key_sha256, d.asked_at, d.address) for d in devices]
    show_table(devices, ["device", "claim", "key fingerprint", "since", "address"], rows)


def accept(
    device: str,
    fingerprint: Fingerprint = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Let a device in that waits; other keys that wait for its name are rejected with that."""
    with connect(workspace) as ws:
        info = ws.accept_device(device, key_sha256=fingerprint)
    show(info, f"{device} is accepted; it gets its certificate when it asks again, within two minutes")


def reject(
    device: str,
    fingerprint: Fingerprint = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Tell a device that waits that it is not let in."""
    with connect(workspace) as ws:
        rejected = ws.reject_device(device, key_sha256=fingerprint)
    show(rejected, f"{device} is rejected, with the key {rejected.key_sha256}")


def register(
    device: str,
    public_key: Annotated[Path | None, typer.Option(help="The device's public key (PEM).")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Its SHA-256 instead, in hex.")] = None,
    tag: Annotated[Pairs, typer.Option(help="NAME=VALUE; may be given again.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Say which key is a device's before it comes: by a claim it is let in at once, and no other key."""
    if (public_key is None) == (fingerprint is None):
        raise typer.BadParameter("give --public-key or --fingerprint")
    pem = read_file(public_key, option="--public-key") if public_key is not None else None
    with connect(workspace) as ws:
        info = ws.register_device(device, public_key_pem=pem, key_sha256=fingerprint, tags=pairs(tag))
    show(info, f"{device} is registered; by a claim its key is let in at once")
