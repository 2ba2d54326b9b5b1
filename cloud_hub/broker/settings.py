"""What an owner can set about the broker, and the server's configuration that follows from it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_hub.broker.cluster import Cluster, routes, server_name
from cloud_hub.broker.keys import HubKeys

DEVICES_ACCOUNT: Final = "HL"
AUTH_ACCOUNT: Final = "AUTH"
SYSTEM_ACCOUNT: Final = "SYS"
LOOPBACK: Final = "127.0.0.1"

# A device's connection waits this long for the hub's judgement before the server refuses it. The device
# itself waits ten seconds.
AUTH_TIMEOUT_S: Final = 9.0
# Each stream has its own bound (`streams`). One for the whole server would, once the owner lowers the
# telemetry bound, be smaller than what the stream still reserves, and no stream could be changed.
_NO_LIMIT_BYTES: Final = 1 << 60


@dataclass(frozen=True, kw_only=True)
class BrokerSettings:
    """Where the broker keeps its files, where devices reach it, and its bounds.

    ``folder`` is the broker's own (0700; made where missing). ``mqtt_port`` 0 takes a free one.
    ``cert_file`` and ``key_file`` are the server's, ``ca_file`` is the authority of the devices.
    ``keys`` is the private folder of the hub's keys to its server, which all hubs of a ``cluster``
    share. Hubs share the telemetry by ``partitions``: one hub at a time takes each.
    """

    folder: Path
    host: str
    mqtt_port: int
    cert_file: Path
    key_file: Path
    ca_file: Path
    keys: Path
    cluster: Cluster | None = None
    partitions: int = 1
    telemetry_max_bytes: int = 4 * 1024 * 1024 * 1024
    max_payload_bytes: int = 1024 * 1024
    max_connections: int = 20_000
    start_timeout_s: float = 20.0

    @property
    def servers(self) -> int:
        """How many servers the broker is."""
        return len(self.cluster.members) if self.cluster else 1


@dataclass(frozen=True)
class Ports:
    """The ports in use: the hub's own on loopback, and the devices' (MQTT over TLS)."""

    client: int
    mqtt: int


def server_config(settings: BrokerSettings, ports: Ports, keys: HubKeys) -> str:
    """Return the server's configuration as JSON, which its configuration language includes.

    It holds public keys and paths only.
    """
    folder = settings.folder
    document: dict[str, Any] = {
        "server_name": server_name(settings.cluster),
        "host": LOOPBACK,
        "port": ports.client,
        "ports_file_dir": str(folder),
        "log_file": str(folder / "nats-server.log"),
        "logfile_size_limit": 16 * 1024 * 1024,
        "logfile_max_num": 3,
        "max_payload": settings.max_payload_bytes,
        "max_connections": settings.max_connections,
        "write_deadline": "5s",
        "jetstream": {
            # A server that stood alone has streams that a cluster would not know, and throw away.
            "store_dir": str(folder / ("jetstream-cluster" if settings.cluster else "jetstream")),
            "max_file_store": _NO_LIMIT_BYTES,
            "max_memory_store": 64 * 1024 * 1024,
        },
        "mqtt": _mqtt(settings, ports),
        "system_account": SYSTEM_ACCOUNT,
        "accounts": {
            DEVICES_ACCOUNT: {"jetstream": "enabled", "users": [{"nkey": keys.hub.public}]},
            AUTH_ACCOUNT: {"users": [{"nkey": keys.auth.public}]},
            SYSTEM_ACCOUNT: {"users": [{"nkey": keys.system.public}]},
        },
        "authorization": {
            "timeout": AUTH_TIMEOUT_S,
            "auth_callout": {
                "issuer": keys.issuer.public,
                "account": AUTH_ACCOUNT,
                # Who may log in by its key alone; every other connection is put to the hub.
                "auth_users": [keys.auth.public, keys.hub.public, keys.system.public],
            },
        },
    }
    if settings.cluster:
        document["cluster"] = routes(settings.cluster, settings.host)
    return json.dumps(document, indent=2)


def _mqtt(settings: BrokerSettings, ports: Ports) -> dict[str, object]:
    return {
        "host": settings.host,
        "port": ports.mqtt,
        # Left to itself the server counts the routes it is told of, so one too few: of three servers
        # two would keep the sessions, and with one of these dead no device could come in.
        "stream_replicas": min(settings.servers, 5),
        # Without it a device could park 65,535 half-published messages on the hub's disk.
        "reject_qos2_publish": True,
        "downgrade_qos2_subscribe": True,
        "tls": {
            "cert_file": str(settings.cert_file),
            "key_file": str(settings.key_file),
            "ca_file": str(settings.ca_file),
            "verify": True,
            "timeout": 10,
        },
    }
