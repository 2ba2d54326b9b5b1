"""Reads image configurations as other tools write them (image-spec 1.1, config.md).

Docker writes null, or an empty text, for what an image does not say.
"""

import msgspec

from contract import oci
from contract.encoding import decode


class _Run(msgspec.Struct, frozen=True):
    Entrypoint: tuple[str, ...] | None = None
    Cmd: tuple[str, ...] | None = None
    Env: tuple[str, ...] | None = None
    WorkingDir: str | None = None
    User: str | None = None
    Labels: dict[str, str] | None = None
    StopSignal: str | None = None


class _RootFs(msgspec.Struct, frozen=True):
    diff_ids: tuple[str, ...]
    type: str = "layers"  # the only one there is


class _Config(msgspec.Struct, frozen=True):
    architecture: str
    os: str
    rootfs: _RootFs
    config: _Run | None = None
    created: str | None = None


def read_image_config(data: bytes) -> oci.ImageConfig:
    """Return a configuration with what is not said as `contract.oci` says it; raises `ContractError`."""
    found = decode(data, _Config, what="image configuration")
    run = found.config or _Run()
    return oci.ImageConfig(
        architecture=found.architecture,
        os=found.os,
        config=oci.RunConfig(
            Entrypoint=run.Entrypoint or (),
            Cmd=run.Cmd or (),
            Env=run.Env or (),
            WorkingDir=run.WorkingDir or "/",
            User=run.User or "",
            Labels=run.Labels or {},
            StopSignal=run.StopSignal or "",
        ),
        rootfs=oci.RootFs(type=found.rootfs.type, diff_ids=found.rootfs.diff_ids),
        created=found.created or "",
    )
