"""May the hub connect there? Pure: the addresses are given."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

import httpx

from cloud_hub.outbound.addresses import Address, Network, is_never, is_public
from cloud_hub.outbound.errors import OutboundRefusedError

PORTS: Final = {"http": 80, "https": 443}
OPEN_PORTS: Final = frozenset({80, 443, 5000, 8080, 8443})
"""Ports of other machines that speak HTTP; any other only where an owner allows the address."""
MAX_URL_BYTES = 4096


@dataclass(frozen=True)
class Target:
    """Where a URL leads: ``host`` is a name in ASCII or an address, ``path`` has the query in it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Return scheme, host and port, the part that may be shown (RFC 6454)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True)
class Allowed:
    """One entry of an owner's list: a network or a host name, and a port, or all of them."""

    network: Network | None
    host: str
    port: int | None


@dataclass(frozen=True)
class Verdict:
    """The addresses that may be connected to, in order; none where ``rule`` says why not."""

    addresses: tuple[Address, ...]
    rule: str = ""
    what: str = ""


def target_of(url: str) -> Target:
    """Return where a URL leads; raises `OutboundRefusedError`."""
    if len(url.encode(errors="replace")) > MAX_URL_BYTES:
        raise OutboundRefusedError("url", f"an address may have {MAX_URL_BYTES} bytes")
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii").lower()
        port = parsed.port or PORTS.get(parsed.scheme, 0)
        path = parsed.raw_path.decode("ascii")
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise OutboundRefusedError("url", "it is no address") from error
    if parsed.scheme not in PORTS:
        raise OutboundRefusedError("scheme", "only http and https are allowed")
    if not host or "%" in host or not 0 < port < 65_536:
        raise OutboundRefusedError("url", "it is no address")
    if parsed.userinfo:
        raise OutboundRefusedError("user-info", "an address may hold no user name or password")
    return Target(parsed.scheme, host, port, path)


def judge(target: Target, addresses: tuple[Address, ...], allowed: tuple[Allowed, ...]) -> Verdict:
    """Judge all addresses that a target's host has.

    One that is not allowed condemns all: a name that leads both in and out is made to be rebound.
    """
    if not addresses:
        return Verdict((), "no-address", "the name has no address")
    if any(is_never(address) for address in addresses):
        return Verdict((), "no-machine", "it leads to an address that is no machine's")
    by_owner = [_is_allowed(target, address, allowed) for address in addresses]
    if not all(is_public(a) or ok for a, ok in zip(addresses, by_owner, strict=True)):
        return Verdict((), "not-public", "it leads to an address that is not public")
    if target.port not in OPEN_PORTS and not all(by_owner):
        return Verdict((), "port", f"port {target.port} is not one of {sorted(OPEN_PORTS)}")
    return Verdict(addresses)


def parse_allowed(entries: tuple[str, ...]) -> tuple[Allowed, ...]:
    """Return an owner's list; raises `ValueError` naming the entry.

    An entry is an address, a network (``10.0.0.0/8``) or a host name, each with ``:port`` or without;
    IPv6 with a port stands in brackets. A host name allows whatever private address it leads to.
    """
    return tuple(map(_parse, entries))


def _is_allowed(target: Target, address: Address, allowed: tuple[Allowed, ...]) -> bool:
    return any(
        (entry.port is None or entry.port == target.port)
        and (address in entry.network if entry.network is not None else entry.host == target.host)
        for entry in allowed
    )


def _parse(entry: str) -> Allowed:
    host, port = entry.strip(), None
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{entry!r} is no address, network or host name")
        port = _port(rest[1:], entry) if rest else None
    elif host.count(":") == 1:
        host, _, digits = host.partition(":")
        port = _port(digits, entry)
    try:
        return Allowed(ip_network(host, strict=False), "", port)
    except ValueError:
        if not _is_name(host):
            raise ValueError(f"{entry!r} is no address, network or host name") from None
        return Allowed(None, host.lower(), port)


def _port(digits: str, entry: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 6 and 0 < int(digits) < 65_536):
        raise ValueError(f"{entry!r} has no valid port")
    return int(digits)


def _is_name(host: str) -> bool:
    labels = host.rstrip(".").split(".")
    letters = all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in "".join(labels))
    return letters and all(0 < len(label) < 64 for label in labels) and not labels[-1].isdigit()


def address_of(text: str) -> Address:
    """Return an address without a zone; raises `ValueError`."""
    return ip_address(text.partition("%")[0])
