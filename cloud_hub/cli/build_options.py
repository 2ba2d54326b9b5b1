"""The options of `headland image build`, each with its help."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Option(help="name:version, or name for the newest.")]
Script = Annotated[Path | None, typer.Option(help="score.py with init() and run(raw_data).")]
Base = Annotated[
    str, typer.Option(help="host, debian, oci:REFERENCE, or file:PATH (OCI layout or docker-archive).")
]
BaseSecret = Annotated[
    str | None, typer.Option(help="A secret of the workspace with the registry's user:password or token.")
]
Platform = Annotated[
    str, typer.Option(help="linux/amd64, linux/arm64, or both with a comma; else the hub's own.")
]
Compression = Annotated[
    str, typer.Option(help="gzip, which every engine reads, or zstd, which is smaller and faster.")
]
Requirements = Annotated[Path | None, typer.Option(help="A requirements.txt.")]
Pyproject = Annotated[Path | None, typer.Option(help="A pyproject.toml; its dependencies are taken.")]
Conda = Annotated[Path | None, typer.Option(help="A conda environment file; its pip part is taken.")]
Lock = Annotated[Path | None, typer.Option(help="A lock of an image: the same packages once more.")]
AllowSourceBuilds = Annotated[
    bool,
    typer.Option(
        "--allow-source-builds", help="Build packages without a wheel on the hub, each in a sandbox."
    ),
]
Kind = Annotated[str, typer.Option(help="cpu, or fpga: an HLS project and its fixed-point emulation.")]
FpgaPrecision = Annotated[str, typer.Option(help="Fixed-point type: bits, integer bits.")]
FpgaReuseFactor = Annotated[int, typer.Option(help="Products that share one multiplier.")]
FpgaData = Annotated[
    Path | None, typer.Option(help="An .npz with inputs to compare with the float model on.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait for it.")]
