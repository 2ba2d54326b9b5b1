"""Asks modules how they are: whether one serves yet, and whether one still lives.

One thread asks all in turn; each question has a time-out, so a module that hangs delays the others by no
more than that. While an old and a new container serve one socket it cannot be said which of them answers:
then liveness over HTTP is not judged, and readiness over HTTP is for modules that are stopped first.
"""

import http.client
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from agent.endpoints.unix_client import UnixHttpConnection
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
class Standing:
    """A container that is asked: when next, and how often in a row it failed; of a file, when it was written.

    The file's time is only compared with itself: a device's clock may be wrong, and may be set.
    """

    asked: Asked
    next: float
    failures: int = 0
    written_ns: int | None = None

    def answers(self, succeeds: Callable[[tuple[str, ...], float], bool]) -> bool:
        """Ask once: is it well? ``succeeds`` runs a program in the container, within seconds."""
        probe = self.asked.probe
        if probe.http:
            return _http_ok(self.asked.listener, probe.http, probe.timeout_s)
        if probe.exec:
            return succeeds(probe.exec, probe.timeout_s)
        before, self.written_ns = self.written_ns, _written_ns(self.asked.run_folder / probe.file)
        there = self.written_ns is not None
        return there and (self.asked.question == "ready" or self.written_ns != before)


class Probes:
    """Keeps asking what `watch` says; ``passed`` is told of a container that is ready, from this thread.

    ``succeeds`` says whether a program in a container ends well within seconds.
    """

    def __init__(
        self,
        passed: Callable[[str], None],
        wake: Callable[[], None],
        succeeds: Callable[[str, tuple[str, ...], float], bool],
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._passed, self._wake, self._monotonic = passed, wake, monotonic
        self._succeeds = succeeds
        self._lock = threading.Lock()
        self._standing: dict[str, Standing] = {}
        self._unhealthy: frozenset[str] = frozenset()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, asked: Mapping[str, Asked]) -> None:
        """Ask these containers, by id, and no others, from now on."""
        now = self._monotonic()
        with self._lock:
            kept = {i: s for i, s in self._standing.items() if asked.get(i) == s.asked}
            fresh = {i: Standing(a, now + _first_s(a)) for i, a in asked.items() if i not in kept}
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
                try:
                    well = standing.answers(partial(self._succeeds, container))
                    self._judge(container, standing, well)
                except OSError as error:
                    # The disk did not take that it is ready: asked again, as long as it takes.
                    log.warning("container %s: what it answered is lost (%s)", container, error.strerror)

    def _judge(self, container: str, standing: Standing, well: bool) -> None:
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


def _written_ns(path: Path) -> int | None:
    try:
        return path.lstat().st_mtime_ns  # what a module links to is not its own
    except OSError:
        return None


def _http_ok(listener: Path, path: str, timeout_s: float) -> bool:
    connection = UnixHttpConnection(listener, timeout_s=timeout_s)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _first_s(asked: Asked) -> float:
    """Return how long to wait before the first question: one that starts is asked at once."""
    return 0.0 if asked.question == "ready" else asked.probe.period_s
