"""The hub's way to other registries: what its settings say, in one place."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cloud_hub.errors import HubSettingsError
from cloud_hub.oci_client.login import Login
from cloud_hub.oci_client.requests import RegistryRequests
from cloud_hub.oci_client.rules import RegistryRules, parse_rules
from cloud_hub.outbound.client import Outbound
from cloud_hub.outbound.policy import parse_allowed
from cloud_hub.settings import Settings


@dataclass(frozen=True)
class RegistryAccess:
    """Makes `RegistryRequests` to whatever registry."""

    outbound: Outbound
    rules: RegistryRules

    @classmethod
    def of(cls, settings: Settings) -> "RegistryAccess":
        """Return what the settings allow; raises `HubSettingsError` for certificates that cannot be read."""
        tls = ssl.create_default_context()
        if settings.registry_certificates:
            _add(tls, settings.registry_certificates)
        return cls(
            Outbound(parse_allowed(settings.outbound_allow), tls=tls),
            parse_rules(settings.registry_realms, settings.registry_plain_http),
        )

    def requests(self, registry: str, login: Login | None) -> RegistryRequests:
        """Return the door to one registry (``host[:port]``), with its credential or without."""
        return RegistryRequests(self.outbound, registry, login, self.rules)


def _add(tls: ssl.SSLContext, file: str) -> None:
    try:
        tls.load_verify_locations(cadata=Path(file).read_text())
    except (OSError, UnicodeDecodeError, ssl.SSLError, ValueError) as error:
        raise HubSettingsError(
            "the certificates of registries cannot be read",
            where=f"registry_certificates ({file})",
            fix="Name a file with certificates in PEM, readable by the hub.",
        ) from error
