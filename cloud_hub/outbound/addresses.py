"""Which IP addresses are public (IANA's special-purpose registries, RFC 6890 and its updates). Pure.

Own tables: `ipaddress.is_global` differs between releases of Python, and knows nothing of the forms
in which an IPv4 address hides in an IPv6 one.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

V4_SPECIAL: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
            "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
            "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
# All global unicast is in here: loopback, mapped, NAT64, link-local, unique local, multicast are not.
V6_GLOBAL: Final = IPv6Network("2000::/3")
V6_SPECIAL: Final = tuple(
    # IETF protocols with Teredo and ORCHID, documentation, 6to4, AS112, documentation.
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)
NEVER: Final = tuple(map(IPv4Network, ("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"))) + tuple(
    map(IPv6Network, ("::/128", "ff00::/8"))
)


def is_public(address: Address) -> bool:
    """Is it a unicast address that anybody on the internet could mean?"""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in V4_SPECIAL)
    return address in V6_GLOBAL and not any(address in network for network in V6_SPECIAL)


def is_never(address: Address) -> bool:
    """Is it no address of one machine at all, so that no owner can allow it?"""
    return any(address in network for network in NEVER)
