"""The metrics' socket, ``STATE_DIR/metrics.sock``, mode 0600."""

import os
import socket
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from agent.drivers.proc import PROC
from agent.endpoints.unix_server import LocalSocket, UnixHandler, UnixServer
from agent.metrics.collect import Facts, metrics
from agent.metrics.text import CONTENT_TYPE, exposition

SOCKET = "metrics.sock"
PATH = "/metrics"


class MetricsSocket(LocalSocket):
    """Answers scrapes until closed; ``facts`` is asked at each."""

    def __init__(self, state_dir: Path, facts: Callable[[], Facts]) -> None:
        super().__init__(state_dir / SOCKET, lambda listener: _Server(listener, facts))


class _Server(UnixServer):
    def __init__(self, listener: socket.socket, facts: Callable[[], Facts]) -> None:
        super().__init__(listener, _Handler, "metrics")
        self.facts = facts


class _Handler(UnixHandler):
    server: _Server
    max_body_bytes = 0

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self._problem(HTTPStatus.NOT_FOUND, "not-found", "no such path", retriable=False)
            return
        self._answer(HTTPStatus.OK, exposition(metrics(self.server.facts())), CONTENT_TYPE)


def resident_bytes() -> int:
    """Return the memory of this process: proc(5), the second field of ``statm``."""
    pages = int((PROC / "self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
