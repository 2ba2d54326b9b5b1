"""Configurations of other people's images: what Headland reads of them. Pure."""

import msgspec

from cloud_hub.images.bases.errors import BasePlatformError, BaseRefusedError
from contract import oci
from contract.ids import DIGEST


class _Run(msgspec.Struct, frozen=True):
    # Docker writes null for what is empty.
    Env: tuple[str, ...] | None = None
    Entrypoint: tuple[str, ...] | None = None
    Cmd: tuple[str, ...] | None = None
    WorkingDir: str | None = None
    User: str | None = None
    Labels: dict[str, str] | None = None
    StopSignal: str | None = None


class _RootFs(msgspec.Struct, frozen=True):
    type: str = ""
    diff_ids: tuple[str, ...] = ()


class _Config(msgspec.Struct, frozen=True):
    architecture: str
    os: str
    config: _Run | None = None
    rootfs: _RootFs = _RootFs()
    created: str | None = None


def read_config(data: bytes, platform: str, *, layers: int, where: str) -> oci.ImageConfig:
    """Return a base's configuration, which must be for ``platform`` and name as many layers as there are.

    Raises `BaseRefusedError`, `BasePlatformError`.
    """
    try:
        found = msgspec.json.decode(data, type=_Config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused("its configuration is none of an image", where) from error
    if f"{found.os}/{found.architecture}" != platform:
        raise BasePlatformError(
            f"the base is not made for {platform}", where=where, fix="Name a base that has this platform."
        )
    ids = found.rootfs.diff_ids
    if len(ids) != layers or not all(DIGEST.fullmatch(one) for one in ids):
        raise _refused("its configuration does not name its layers", where)
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
        rootfs=oci.RootFs(type="layers", diff_ids=ids),
        created=found.created or "",
    )


def _refused(what: str, where: str) -> BaseRefusedError:
    return BaseRefusedError(what, where=where, fix="Check where the base comes from.")
