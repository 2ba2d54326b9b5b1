"""Addresses as an owner writes them: of proxies, and what an address may be at all."""

from urllib.parse import urlsplit

import msgspec

from agent.network.bypass import check_rule


class Proxy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Proxies on the way out, ``http://host:port`` each.

    ``https`` is for all that speaks TLS, MQTT too; ``http`` for mirrors without it. ``no_proxy``: hosts that
    are reached directly. ``credentials_file``: a line ``user:password``. ``ca_file``: the CA (PEM) of a
    proxy that opens TLS.
    """

    http: str = ""
    https: str = ""
    no_proxy: tuple[str, ...] = ()
    credentials_file: str = ""
    ca_file: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for an address that is none; it is not repeated, as it may hold a password."""
        for address in (self.http, self.https):
            if address and not (plain_address(address, {"http"}) and urlsplit(address).port):
                raise ValueError("a proxy is http://host:port; credentials are in credentials_file")
        for rule in self.no_proxy:
            check_rule(rule)


def plain_address(text: str, schemes: set[str]) -> bool:
    """Is this scheme, host and perhaps a port, and nothing else?"""
    try:
        parts = urlsplit(text)
        named = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return named and "@" not in parts.netloc and parts.path in {"", "/"} and not parts.query + parts.fragment
