"""Several servers as one broker: who they are, and the part of the configuration that joins them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME: Final = "headland"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A server's place among the others.

    ``address`` is ``host:port`` at which the others reach it, ``members`` the addresses of all, its
    own too. Certificates are of an authority of its own (``ca_file``): a device's opens nothing here.
    """

    address: str
    members: tuple[str, ...]
    cert_file: Path
    key_file: Path
    ca_file: Path

    @property
    def host(self) -> str:
        """The host of ``address``."""
        return split_address(self.address)[0]

    @property
    def port(self) -> int:
        """The port of ``address``."""
        return split_address(self.address)[1]


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` (IPv6 in brackets); raises `ValueError`."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ValueError("not host:port")
    return host, int(port)


def server_name(cluster: Cluster | None) -> str:
    """Return the server's name, which no other of the cluster may have."""
    return f"headland-hub-{cluster.address}" if cluster else "headland-hub"


def routes(cluster: Cluster, listen: str) -> dict[str, object]:
    """Return the server's ``cluster`` block: mutual TLS with members only.

    The others' addresses come from here alone: nothing that a server says of itself is believed.
    """
    return {
        "name": NAME,
        "host": listen,
        "port": cluster.port,
        "no_advertise": True,
        "routes": [f"nats-route://{each}" for each in cluster.members if each != cluster.address],
        "tls": {
            "cert_file": str(cluster.cert_file),
            "key_file": str(cluster.key_file),
            "ca_file": str(cluster.ca_file),
            "verify": True,
            "timeout": 10,
        },
    }
