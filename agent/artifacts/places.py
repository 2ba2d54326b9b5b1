"""The places that the settings name, opened: the hub's registry, and those that are asked before it."""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from agent.artifacts.delta import Savings
from agent.artifacts.fetch import HttpsRegistry, Registry
from agent.artifacts.folder import FolderSource
from agent.artifacts.patience import Bounds
from agent.artifacts.sources import Nearby, Sources
from agent.network.line import DIRECT, Network, load_ca
from agent.network.proxies import plain_address
from contract.ids import DEVICE_ID

MIRROR_TIMEOUT_S: Final = 10.0
FOLDER: Final = "folder:"


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place that images may come from besides the hub: a folder, or ``https://`` or ``http://host[:port]``.

    ``ca_file``: the certificates (PEM) of its CA; none: those that the system trusts. ``neighbour``: the id
    of the device that serves there, which shows the hub's certificate for it.
    """

    at: str
    ca_file: str = ""
    neighbour: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for an address that is none; it is not repeated, as it may hold a password."""
        if self.folder is not None:
            if not self.folder.is_absolute() or self.ca_file or self.neighbour:
                raise ValueError("a folder is folder:/absolute/path, and has no ca_file and no neighbour")
            return
        if self.neighbour and (
            self.ca_file or self.at.startswith("http:") or not DEVICE_ID.fullmatch(self.neighbour)
        ):
            raise ValueError("neighbour is a device's id, for https, and has no ca_file")
        if not plain_address(self.at, {"https", "http"}) or (self.ca_file and self.at.startswith("http:")):
            raise ValueError(
                "at is folder:/absolute/path, https://host[:port] or http://host[:port], without user and "
                "path; ca_file is for https"
            )

    @property
    def folder(self) -> Path | None:
        """The folder, where it is one."""
        return Path(self.at.removeprefix(FOLDER)) if self.at.startswith(FOLDER) else None


def registry_of(
    hub: HttpsRegistry,
    sources: Sequence[Source],
    savings: Savings,
    network: Network = DIRECT,
    *,
    context_for: Callable[[str], ssl.SSLContext | None] = lambda _device: None,
    wait_s: float = 0.0,
) -> Registry:
    """Return the hub's registry, behind ``sources`` where there are some; raises `SettingsError`.

    ``context_for`` a neighbour's id makes its TLS; none: that neighbour is this device, and is not asked.
    ``wait_s``: how long a pull waits for what neighbours may have soon.
    """
    nearby = []
    for each in sources:
        if not each.neighbour:
            nearby.append(Nearby(each.at, _opened(each, network)))
        elif (context := context_for(each.neighbour)) is not None:
            # Never by a proxy: a neighbour is on this side of it.
            registry = HttpsRegistry(each.at, context, timeout_s=MIRROR_TIMEOUT_S)
            nearby.append(Nearby(f"{each.neighbour} ({each.at})", registry, neighbour=True))
    if not nearby:
        return hub
    savings.count_sources()
    return Sources(hub, nearby, savings, bounds=Bounds(wait_s))


def _opened(source: Source, network: Network) -> FolderSource | HttpsRegistry:
    if source.folder is not None:
        return FolderSource(source.folder)
    context = None
    address = urlsplit(source.at)
    if address.scheme == "https":
        # Of its own: the device's certificate is shown to the hub alone.
        if source.ca_file:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            load_ca(context, source.ca_file, "ca_file in sources")
        else:
            context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        network.trust(context, address.hostname or "")
    return HttpsRegistry(source.at, context, network=network, timeout_s=MIRROR_TIMEOUT_S)
