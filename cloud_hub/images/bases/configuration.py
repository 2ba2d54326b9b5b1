"""Configurations of other people's images as bases: what must hold of them. Pure."""

from cloud_hub.images.bases.errors import BasePlatformError, BaseRefusedError
from contract import oci
from contract.errors import ContractError
from contract.ids import DIGEST
from contract.image_config import read_image_config


def read_config(data: bytes, platform: str, *, layers: int, where: str) -> oci.ImageConfig:
    """Return a base's configuration, which must be for ``platform`` and name as many layers as there are.

    Raises `BaseRefusedError`, `BasePlatformError`.
    """
    try:
        found = read_image_config(data)
    except ContractError as error:
        raise _refused("its configuration is none of an image", where) from error
    if f"{found.os}/{found.architecture}" != platform:
        raise BasePlatformError(
            f"the base is not made for {platform}", where=where, fix="Name a base that has this platform."
        )
    ids = found.rootfs.diff_ids
    if len(ids) != layers or not all(DIGEST.fullmatch(one) for one in ids):
        raise _refused("its configuration does not name its layers", where)
    return found


def _refused(what: str, where: str) -> BaseRefusedError:
    return BaseRefusedError(what, where=where, fix="Check where the base comes from.")
