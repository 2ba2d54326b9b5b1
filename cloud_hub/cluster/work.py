"""What the hubs of one database divide among themselves. Pure."""

from typing import Final

FILES: Final = "telemetry-files"
SWEEP: Final = "sweep"
ROLLOUTS: Final = "rollouts"
PARTITIONS: Final = 6
"""Parts of the telemetry where several hubs share it: of three each has two."""


def ingest(partition: int) -> str:
    """Return the name of taking in a part of the telemetry."""
    return f"ingest-{partition}"


def all_work(partitions: int) -> tuple[str, ...]:
    """Return the names of everything that is divided."""
    return (FILES, *(ingest(partition) for partition in range(partitions)), ROLLOUTS, SWEEP)
