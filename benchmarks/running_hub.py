"""A hub of the benchmarks: made in a folder, with the workspace `shop`, run as its own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import Tls
from simulators.demo.stage import Stage


@contextmanager
def running_hub(folder: Path) -> Iterator[Stage]:
    """Run a hub with a workspace; the folder's content is gone after."""
    stage = Stage(folder)
    try:
        stage.make_hub()
        stage.headland("workspace", "create", "shop")
        stage.headland("workspace", "use", "shop")
        yield stage
    finally:
        stage.close()


def tls_of(stage: Stage) -> Tls:
    """Return the hub's own certificate and key, for peers that shall pay for the same TLS."""
    pki = stage.data_dir / "pki"
    return Tls(pki / "server.pem", pki / "server-key.pem", pki / "ca.pem")
