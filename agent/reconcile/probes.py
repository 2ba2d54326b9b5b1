"""Asks modules how they are: whether one serves yet, and whether one still lives.

One thread asks all in turn; each question has a time-out, so a module that hangs delays the others by no
more than that. While an old and a new container serve one socket it cannot be said which of them answers:
then liveness over HTTP is not judged, and readiness over HTTP is for modules that are stopped first.
"""

import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from contract.lifecycle import Probe

log = logging.getLogger(__name__)

LOOK_S: Final = 0.2
Question = Literal["ready", "alive"]


@dataclass(frozen=True)
class Asked:
    """What to ask of a container: by which probe, on which socket, in which folder its files are."""

    question: Question
    probe: Probe
    listener: Path
    run_folder: Path


@dataclass
class _Standing:
    asked: Asked
    begun: float
    next: float
    failures: int = 0


class Probes:
    """Keeps asking what `watch` says; ``passed`` is told of a container that is ready, from this thread."""

    def __init__(
        self, passed: Callable[[str], None], wake: Callable[[], None], *, monotonic: Callable[[], float]
    ) -> None:
        self._passed, self._wake, self._monotonic = passed, wake, monotonic
        self._lock = threading.Lock()
        self._standing: dict[str, _Standing] = {}
        self._unhealthy: frozenset[str] = frozenset()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, asked: Mapping[str, Asked]) -> None:
        """Ask these containers, by id, and no others, from now on."""
        now = self._monotonic()
        with self._lock:
            kept = {i: s for i, s in self._standing.items() if asked.get(i) == s.asked}
            fresh = {i: _Standing(a, now, now + _first_s(a)) for i, a in asked.items() if i not in kept}
            self._standing = kept | fresh
            self._unhealthy &= frozenset(kept)
        if asked and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="probes", daemon=True)
            self._thread.start()

    def unhealthy(self) -> frozenset[str]:
        """Return the containers that do not live."""
        with self._lock:
            return self._unhealthy

    def close(self) -> None:
        """Ask no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            with self._lock:
                due = [(i, s) for i, s in self._standing.items() if s.next <= self._monotonic()]
            for container, standing in due:
                if self._stopping.is_set():
                    return
                self._judge(container, standing, answers(standing.asked, standing.begun, self._monotonic()))

    def _judge(self, container: str, standing: _Standing, well: bool) -> None:
        with self._lock:
            if self._standing.get(container) is not standing:
                return  # it is asked no more, or otherwise
            standing.next = self._monotonic() + standing.asked.probe.period_s
            standing.failures = 0 if well else standing.failures + 1
            alive = standing.asked.question == "alive"
            sick = alive and standing.failures >= standing.asked.probe.failures
            known = container in self._unhealthy
            if sick and not known:
                self._unhealthy |= {container}
                log.warning("container %s does not live: %d probes failed", container, standing.failures)
        if sick and not known:
            self._wake()
        if well and not alive:
            self._passed(container)


def answers(asked: Asked, begun: float, now: float) -> bool:
    """Ask once; ``begun`` and ``now`` say for how long it has been asked."""
    if asked.probe.http:
        return _http_ok(asked.listener, asked.probe.http, asked.probe.timeout_s)
    path = asked.run_folder / asked.probe.file
    if asked.question == "ready":
        return path.exists()
    allowed_s = asked.probe.period_s * asked.probe.failures
    try:
        age_s = time.time() - path.stat().st_mtime
    except OSError:
        return now - begun < allowed_s  # it has so long for the first time
    # A clock that was set makes a file older or younger than it is: younger than now is no proof of death.
    return age_s < allowed_s


def _http_ok(listener: Path, path: str, timeout_s: float) -> bool:
    connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout_s)
        connection.sock.connect(str(listener))
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _first_s(asked: Asked) -> float:
    """Return how long to wait before the first question: one that starts is asked at once."""
    return 0.0 if asked.question == "ready" else asked.probe.period_s
