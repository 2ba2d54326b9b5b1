"""What a hub's owner allows towards registries. Pure."""

from dataclasses import dataclass, field

from cloud_hub.oci_client.references import HOST, host_of
from cloud_hub.outbound.errors import OutboundRefusedError
from cloud_hub.outbound.policy import target_of


@dataclass(frozen=True)
class RegistryRules:
    """What an owner said of single registries.

    ``realms``: by a registry's host the origins of token services beside its own that may see its
    credentials. ``plain``: the registries (``host:port``) that are spoken to over plain http.
    """

    realms: dict[str, frozenset[str]] = field(default_factory=dict)
    plain: frozenset[str] = frozenset()

    def origin_of(self, registry: str) -> str:
        """Return the start of the registry's addresses."""
        return f"{'http' if registry in self.plain else 'https'}://{host_of(registry)}"

    def may_see(self, registry: str, origin: str) -> bool:
        """May the token service at ``origin`` see credentials of the registry?"""
        own = target_of(self.origin_of(registry)).origin
        return origin == own or origin in self.realms.get(host_of(registry), frozenset())


def parse_rules(realms: tuple[str, ...], plain: tuple[str, ...]) -> RegistryRules:
    """Return the rules of two settings; raises `ValueError` naming the entry.

    A realm is written ``registry.host[:port]=https://token.host[:port]``.
    """
    found: dict[str, frozenset[str]] = {}
    for entry in realms:
        registry, _, url = entry.partition("=")
        try:
            target = target_of(url)
        except OutboundRefusedError as error:
            raise ValueError(f"{entry!r} is not registry=https://token-service") from error
        if not HOST.fullmatch(registry) or target.scheme != "https":
            raise ValueError(f"{entry!r} is not registry=https://token-service")
        found[registry] = found.get(registry, frozenset()) | {target.origin}
    for entry in plain:
        if not HOST.fullmatch(entry):
            raise ValueError(f"{entry!r} is not host or host:port")
    return RegistryRules(found, frozenset(plain))
