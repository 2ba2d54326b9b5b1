"""MQTT topics of the device protocol, version 1: ``hl/1/{device}/...``.

NATS maps MQTT's ``/`` to its ``.`` (NATS documentation, "MQTT: topics and subjects"), so the hub
sees the same names as subjects; `to_subject` does that mapping.
"""

from typing import Final

PREFIX: Final = "hl/1"
TELEMETRY_SUBJECTS: Final = "hl.1.*.telemetry.>"


def hello(device: str) -> str:
    """Device to hub, after each connect: what it holds."""
    return f"{PREFIX}/{device}/hello"


def desired(device: str) -> str:
    """Hub to device: the DSSE envelope with the desired document."""
    return f"{PREFIX}/{device}/desired"


def reported(device: str) -> str:
    """Device to hub: what runs, and what did not."""
    return f"{PREFIX}/{device}/reported"


def telemetry(device: str, stream: str) -> str:
    """Device to hub: batches of samples of one stream."""
    return f"{PREFIX}/{device}/telemetry/{stream}"


def ack(device: str) -> str:
    """Hub to device: how far a stream is stored, sent after the hub's own commit."""
    return f"{PREFIX}/{device}/ack"


def device_writes(device: str) -> tuple[str, ...]:
    """Every topic filter a device may publish to, and nothing else."""
    return (hello(device), reported(device), telemetry(device, "+"))


def device_reads(device: str) -> tuple[str, ...]:
    """Every topic a device may subscribe to, and nothing else."""
    return (desired(device), ack(device))


def to_subject(topic: str) -> str:
    """Return the NATS subject (or filter) for an MQTT topic (or filter) of this protocol."""
    return topic.replace("/", ".").replace("+", "*")


def parse_subject(subject: str) -> tuple[str, str, str]:
    """Split a NATS subject into (device, kind, rest); rest is the stream of a telemetry subject.

    Raises `ValueError` where the subject is not of this protocol.
    """
    parts = subject.split(".")
    if len(parts) not in {4, 5} or parts[:2] != PREFIX.split("/"):
        raise ValueError("not a subject of the device protocol")
    return parts[2], parts[3], parts[4] if len(parts) == 5 else ""
