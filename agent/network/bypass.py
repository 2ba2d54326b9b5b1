"""Which hosts are reached without a proxy: pure."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

NAME: Final = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*\Z", re.IGNORECASE)


def check_rule(rule: str) -> str:
    """Return a rule of ``no_proxy`` as it is: ``*``, an IP address, a network, or a name; else ValueError."""
    if rule != "*" and _network(rule) is None and not NAME.match(rule):
        raise ValueError("each of no_proxy is *, an IP address, a network like 10.0.0.0/8, or a name")
    return rule


def bypassed(host: str, rules: Sequence[str]) -> bool:
    """Is this host reached directly? A name is for the host of that name, and for all below it."""
    return any(_fits(host.lower().rstrip("."), rule.lower()) for rule in rules)


def _fits(host: str, rule: str) -> bool:
    network = _network(rule)
    if network is not None:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return address.version == network.version and address in network
    name = rule.lstrip(".")
    return rule == "*" or host == name or host.endswith(f".{name}")


def _network(rule: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return None
