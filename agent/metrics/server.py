"""The metrics' socket, ``STATE_DIR/metrics.sock``, mode 0600."""

import logging
import os
import socket
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from agent.drivers.proc import PROC
from agent.endpoints.listeners import EndpointError, bind
from agent.endpoints.unix_server import UnixHandler, UnixServer
from agent.metrics.collect import Facts, metrics
from agent.metrics.text import CONTENT_TYPE, exposition

log = logging.getLogger(__name__)

SOCKET = "metrics.sock"
PATH = "/metrics"


class MetricsSocket:
    """Answers scrapes until closed; ``facts`` is asked at each."""

    def __init__(self, state_dir: Path, facts: Callable[[], Facts]) -> None:
        self._server: _Server | None = None
        try:
            self._server = _Server(bind(state_dir / SOCKET, mode=0o600), facts)
        except EndpointError as error:
            log.warning("nobody can ask for metrics: %s", error)
            return
        self._server.start()

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()


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
