"""Reads image configurations as other tools write them (image-spec 1.1, config.md).

Docker writes null, or an empty text, for what an image does not say: that is left out here.
"""

from typing import Any

import msgspec

from contract import oci
from contract.encoding import decode
from contract.errors import ContractError

WHAT = "image configuration"


def read_image_config(data: bytes) -> oci.ImageConfig:
    """Return a configuration with what is not said as `contract.oci` says it; raises `ContractError`."""
    said = {key: value for key, value in decode(data, dict[str, Any], what=WHAT).items() if value is not None}
    if isinstance(run := said.get("config", {}), dict):
        said["config"] = {key: value for key, value in run.items() if value is not None and value != ""}
    try:
        return msgspec.convert(said, oci.ImageConfig)
    except msgspec.ValidationError as error:
        raise ContractError(f"not a valid {WHAT}: {error}") from error
