"""The places that the settings name, opened: the hub's registry, and those that are asked before it."""

import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from agent.artifacts.delta import Savings
from agent.artifacts.fetch import HttpsRegistry, Registry
from agent.artifacts.folder import FolderSource
from agent.artifacts.sources import Nearby, Sources
from agent.network.line import DIRECT, Network, load_ca
from agent.settings import Source

MIRROR_TIMEOUT_S: Final = 10.0


def registry_of(
    hub: HttpsRegistry, sources: Sequence[Source], savings: Savings, network: Network = DIRECT
) -> Registry:
    """Return the hub's registry, behind ``sources`` where there are some; raises `SettingsError`."""
    if not sources:
        return hub
    savings.count_sources()
    return Sources(hub, [Nearby(each.at, _opened(each, network)) for each in sources], savings)


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
