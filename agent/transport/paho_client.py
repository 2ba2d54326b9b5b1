"""paho's client, with the parts of it replaced that a device without a good network needs otherwise.

- The connection is one of ours: its own way through a proxy needs another package. The kernel gives up a
  connection on which nothing gets through any more.
- Its thread is woken by a pair of Unix sockets. paho takes TCP over the loopback, which is not there on a
  machine whose network is not up yet: then the daemon could not start.
- The waits between tries are those of `agent.transport.waits`, and can be cut short.
- What was published before a connection broke is forgotten: our own protocol says it again, and twice is
  too often on a slow link.
"""

import contextlib
import logging
import random
import socket
import threading
import time
from datetime import UTC, datetime
from ssl import SSLCertVerificationError
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from agent.network.line import DIRECT
from agent.transport.waits import wait_s

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 10.0
UNACKNOWLEDGED_MS: Final = 15_000
STOP_TIMEOUT_S: Final = 3.0


class PahoClient(paho.Client):
    """One client; ``network`` says how hosts are reached."""

    network = DIRECT

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self.connect_timeout = CONNECT_TIMEOUT_S
        self._hurry = threading.Event()
        self._away_since = time.monotonic()
        self._failure = ""

    def loop_start(self) -> MQTTErrorCode:
        """Start the thread."""
        self._sockpairR, self._sockpairW = socket.socketpair()
        self._sockpairR.setblocking(False)
        self._sockpairW.setblocking(False)
        self._thread_terminate = False
        self._thread = threading.Thread(target=self._thread_main, name="mqtt", daemon=True)
        self._thread.start()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def end(self) -> None:
        """Say goodbye and end the thread; over a link on which nothing gets through, without a goodbye."""
        thread = self._thread
        self.disconnect()
        self._thread_terminate = True
        self._hurry.set()
        if thread is not None:
            thread.join(STOP_TIMEOUT_S)

    def hurry(self) -> None:
        """Do not wait for the next try."""
        self._hurry.set()

    def cut(self) -> None:
        """End the connection that stands, without a goodbye."""
        line = self.socket()
        if line is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)  # type: ignore[arg-type]

    def reconnect(self) -> MQTTErrorCode:
        """Try once; raises OSError."""
        with self._out_message_mutex:
            self._out_messages.clear()
            self._inflight_messages = 0
        try:
            return super().reconnect()
        except OSError as error:
            self._told(error)
            raise

    def came(self) -> None:
        """The broker let us in."""
        self._failure = ""

    def went(self) -> None:
        """A connection that stood is gone."""
        self._away_since = time.monotonic()

    def next_wait_s(self, chance: float) -> float:
        """Return how long to wait before the next try; ``chance`` is from 0 to 1."""
        return wait_s(time.monotonic() - self._away_since, chance)

    def _told(self, error: OSError) -> None:
        """Log why there is no connection, once for each reason."""
        reason = str(error)
        if isinstance(error, SSLCertVerificationError):
            reason = f"{error.verify_message}; the clock here says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        known, self._failure = self._failure, type(error).__name__ + str(error.errno)
        level = logging.DEBUG if known == self._failure else logging.INFO
        log.log(
            level, "no connection to the hub at %s:%d (%s); it is tried again", self._host, self._port, reason
        )

    def _reconnect_wait(self) -> None:
        self._hurry.clear()
        if not self._thread_terminate:
            self._hurry.wait(self.next_wait_s(random.random()))  # noqa: S311  not a secret

    def _create_socket_connection(self) -> socket.socket:
        found = self.network.tcp(self.host, self.port, CONNECT_TIMEOUT_S)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        return found
