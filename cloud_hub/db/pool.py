"""What both kinds of database share: the pool of connections, and what a connection is opened for."""

from typing import Any

READING = "headland_reading"
MIGRATING = "headland_migrating"

# Writers take turns, so nearly all of these read. The HTTP edge has 40 threads.
POOL_SIZE = 10
POOL_OVERFLOW = 10
POOL_TIMEOUT_S = 30.0


def pool_options() -> dict[str, Any]:
    """Return `create_engine`'s options of the pool."""
    return {"pool_size": POOL_SIZE, "max_overflow": POOL_OVERFLOW, "pool_timeout": POOL_TIMEOUT_S}
