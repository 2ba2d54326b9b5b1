"""A device's outbox behind a module's socket, and a hub that takes from it; says what the hub has stored.

Arguments: the outbox's file, the socket. Each line of standard output is a batch in the hub, told before the
outbox is told that it may forget it: stream, epoch, first sequence, and the numbers in the samples.
"""

import json
import sys
import time
from pathlib import Path

from agent.endpoints.module_api import Hooks, ModuleApi
from agent.outbox.port import Outbox, OutboxError
from agent.outbox.sqlite import SqliteOutbox

MAX_BYTES = 64 * 1024 * 1024
BATCH_SAMPLES = 40
PAUSE_S = 0.02


def main() -> None:
    """Serve until the end."""
    outbox = SqliteOutbox(Path(sys.argv[1]), max_bytes=MAX_BYTES)
    hooks = Hooks(
        outbox=outbox, ready=lambda _: None, defer=lambda _container, _seconds: 0.0, stored=lambda: None
    )
    ModuleApi("meter", Path(sys.argv[2]), hooks)
    sys.stdout.write("serves\n")
    sys.stdout.flush()
    while True:
        time.sleep(PAUSE_S)
        try:
            for stream in outbox.streams():
                drain(outbox, stream)
        except OutboxError:
            return


def drain(outbox: Outbox, stream: str) -> None:
    """Take one batch of a stream to the hub."""
    batch = outbox.batch(stream, outbox.mark(stream), BATCH_SAMPLES)
    if batch is None:
        return
    numbers = [json.loads(bytes(body))["n"] for body in batch.bodies]
    sys.stdout.write(json.dumps([stream, batch.epoch, batch.first, numbers]) + "\n")
    sys.stdout.flush()
    outbox.acknowledge(stream, batch.first + len(numbers) - 1)


if __name__ == "__main__":
    main()
