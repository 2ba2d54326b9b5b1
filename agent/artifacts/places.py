"""The places that the settings name, opened: the hub's registry, and those that are asked before it."""

import ssl
from collections.abc import Sequence
from typing import Final

from agent.artifacts.delta import Savings
from agent.artifacts.fetch import HttpsRegistry, Registry
from agent.artifacts.folder import FolderSource
from agent.artifacts.sources import Nearby, Sources
from agent.errors import SettingsError
from agent.settings import Source

MIRROR_TIMEOUT_S: Final = 10.0


def registry_of(hub: HttpsRegistry, sources: Sequence[Source], savings: Savings) -> Registry:
    """Return the hub's registry, behind ``sources`` where there are some; raises `SettingsError`."""
    if not sources:
        return hub
    savings.count_sources()
    return Sources(hub, [Nearby(each.at, _opened(each)) for each in sources], savings)


def _opened(source: Source) -> FolderSource | HttpsRegistry:
    if source.folder is not None:
        return FolderSource(source.folder)
    try:
        # Of its own: the device's certificate is shown to the hub alone.
        context = ssl.create_default_context(cafile=source.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"the certificates of a source's CA cannot be read ({error})",
            where=source.ca_file,
            fix="Correct ca_file in sources.",
        ) from error
    return HttpsRegistry(source.at, context, timeout_s=MIRROR_TIMEOUT_S)
