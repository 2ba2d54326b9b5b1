"""Tells systemd how the daemon is: sd_notify(3), sd_watchdog_enabled(3), without libsystemd.

The variables are taken out of the environment: no container and no command that the agent starts may
speak for it.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, MutableMapping

log = logging.getLogger(__name__)

PINGS_IN_TIMEOUT = 3


class ServiceManager:
    """The line to the service manager; without one nothing is sent."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        watchdog_us = environment.pop("WATCHDOG_USEC", "")
        watched_pid = environment.pop("WATCHDOG_PID", str(os.getpid()))
        ours = watched_pid == str(os.getpid()) and watchdog_us.isascii() and watchdog_us.isdigit()
        self.watchdog_s = int(watchdog_us) / 1e6 if ours else 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def ready(self, status: str, stalled_s: Callable[[], float]) -> None:
        """Say that the daemon works; from now on say so again while ``stalled_s`` is small.

        Silence lets the manager end the daemon after its timeout and start it again.
        """
        self._send(f"READY=1\nSTATUS={' '.join(status.split())}")
        if self._address and self.watchdog_s > 0:
            self._thread = threading.Thread(
                target=self._watch, args=(stalled_s,), name="watchdog", daemon=True
            )
            self._thread.start()

    def passing_on(self) -> None:
        """Say that another version of the daemon goes on in this process; it says itself when it works."""
        self._send("STATUS=another version of the agent takes over")
        self._end()

    def stopping(self) -> None:
        """Say that the daemon ends, and that it does so on purpose."""
        self._send("STOPPING=1")
        self._end()

    def _end(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, stalled_s: Callable[[], float]) -> None:
        silent = False
        while not self._stopping.wait(self.watchdog_s / PINGS_IN_TIMEOUT):
            stalled = stalled_s()
            if stalled < self.watchdog_s / 2:
                self._send("WATCHDOG=1")
            elif not silent:
                log.error("the loop shows no life for %.0f s: the watchdog is not answered any more", stalled)
            silent = stalled >= self.watchdog_s / 2

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is in the abstract namespace.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(1.0)
                line.sendto(state.encode(), address)
        except OSError as error:
            log.warning("the service manager cannot be told %s (%s)", state.partition("=")[0], error.strerror)
