"""From the settings to what the agent works with; a device without neighbours loads none of the rest."""

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from agent.artifacts.delta import Savings
from agent.artifacts.store import ContentStore
from agent.identity.store import Identity
from agent.neighbours.settings import Neighbours

SHELF: Final = "shelf"


class Serving(Protocol):
    """Layers given to neighbours, or to nobody."""

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End."""

    def kept_bytes(self) -> int:
        """Return what is kept for them."""


class Nobody:
    """Serves nobody."""

    def start(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def kept_bytes(self) -> int:
        """Return 0."""
        return 0


def open_serving(
    settings: Neighbours, identity: Identity, store: ContentStore, content: Path, savings: Savings
) -> Serving:
    """Return what serves neighbours, and let ``store`` keep blobs for them in ``content``, where it is on."""
    if not settings.listen:
        shutil.rmtree(content / SHELF, ignore_errors=True)  # from when it was on
        return Nobody()
    # Imported here: who serves nobody need not carry it.
    from agent.neighbours.server import NeighbourServer  # noqa: PLC0415
    from agent.neighbours.shelf import FolderShelf  # noqa: PLC0415

    savings.count_served()
    shelf = FolderShelf(content / SHELF, settings.cache_bytes, store.room)
    store.shelf = shelf
    return NeighbourServer(settings, identity, store, shelf, savings)


def contexts(identity: Identity) -> Callable[[str], ssl.SSLContext | None]:
    """Return what makes TLS for asking a device by its id; none for this device itself."""

    def context(device: str) -> ssl.SSLContext | None:
        if device == identity.facts.device:
            return None
        from agent.neighbours.certificates import asking_context  # noqa: PLC0415

        return asking_context(identity, device)

    return context
