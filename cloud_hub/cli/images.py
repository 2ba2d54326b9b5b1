"""`headland image`: images and their builds."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.following import Follower
from cloud_hub.cli.output import Format, Output, show, size
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect

app = group("Images: a model with all it needs to score.")


@app.command(epilog="Example: headland image build digits --model digits:1")
def build(
    name: str,
    model: Annotated[str, typer.Option(help="name:version, or name for the newest.")],
    script: Annotated[Path | None, typer.Option(help="score.py with init() and run(raw_data).")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for it.")] = False,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Build the next version of an image of a model, and wait for it; Ctrl-C leaves it running."""
    with connect(workspace) as ws:
        begun = ws.start_build(name, model, script)
        if detach:
            show(begun, f"image-build {begun.id} is queued; headland activity follow {begun.id}")
            return
        with Follower(begun.id, streamed=False) as follower:
            done = ws.wait(begun.id, follower)
        image = ws.image((done.result or {})["image"])
    show(image, f"{image.name}:{image.version} built, {size(image.size_bytes)}, {image.digest}")
