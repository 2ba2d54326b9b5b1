"""The desired document: the whole device on one page, signed by the hub."""

from datetime import datetime

import msgspec

from contract.access import Access
from contract.lifecycle import Lifecycle
from contract.secrets import SecretRef


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a module's container may use at most: bytes of memory, CPUs (1.0 is one), processes."""

    memory_bytes: int = 256 * 1024 * 1024
    cpus: float = 1.0
    pids: int = 64


class ImageRef(msgspec.Struct, frozen=True, kw_only=True):
    """An image by digest in the hub's registry; ``name`` is for people only."""

    repository: str
    digest: str
    name: str


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """One module: a container that serves on a socket that the agent owns.

    ``command`` takes the place of what the image hands to its program.
    """

    name: str
    image: ImageRef
    env: dict[str, str] = {}
    limits: Limits = Limits()
    ready_timeout_s: float = 60.0
    stop_grace_s: float = 10.0
    command: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    lifecycle: Lifecycle | msgspec.UnsetType = msgspec.UNSET
    secrets: tuple[SecretRef, ...] | msgspec.UnsetType = msgspec.UNSET
    access: Access | msgspec.UnsetType = msgspec.UNSET

    @property
    def life(self) -> Lifecycle:
        """How it lives; as ever where nothing is said."""
        return self.lifecycle if self.lifecycle is not msgspec.UNSET else Lifecycle()

    @property
    def given(self) -> tuple[SecretRef, ...]:
        """The secrets that it is given; their values are never in here."""
        return self.secrets if self.secrets is not msgspec.UNSET else ()

    @property
    def asks(self) -> Access:
        """What it asks of its device; nothing where nothing is said."""
        return self.access if self.access is not msgspec.UNSET else Access()


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What one device shall run.

    ``generation`` only grows; ``not_after`` ends its use for changes, never a running module. ``agent`` is
    the release (`contract.agent_release`) that the device's agent shall be; without it, it stays what it is.
    """

    device: str
    workspace: str
    generation: int
    issued_at: datetime
    not_after: datetime
    rollout: str
    modules: tuple[Module, ...]
    agent: ImageRef | msgspec.UnsetType = msgspec.UNSET
