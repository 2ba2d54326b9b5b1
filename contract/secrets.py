"""How a device reads secrets that its modules name, over HTTPS with its certificate."""

from typing import Final

import msgspec

DEVICE_SECRETS_PATH: Final = "/api/v1/device/secrets"
"""``GET`` below it, with ``name:version``, answers a `SecretValue`: of what the newest desired document of
the device that asks refers to, and of nothing else."""


class SecretRef(msgspec.Struct, frozen=True, kw_only=True):
    """The file ``file`` below ``/run/secrets`` of a module: one version of a secret of its workspace.

    A version's number says nothing of the value, as a digest of a short value would.
    """

    file: str
    name: str
    version: int

    @property
    def label(self) -> str:
        """``name:version``, for paths and for people."""
        return f"{self.name}:{self.version}"


class SecretValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value: 1 to 65,536 bytes of text."""

    name: str
    version: int
    value: str

    def __repr__(self) -> str:
        return f"SecretValue({self.name}:{self.version})"
