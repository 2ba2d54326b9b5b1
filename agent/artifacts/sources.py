"""Several places that images come from: those nearby, in their order, then the hub.

Nothing is believed that has not its digest, so a place that lies costs time and nothing else. Deltas, and
what refers to an image, are the hub's alone.
"""

import copy
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from agent.artifacts.delta import Savings
from agent.artifacts.errors import (
    DigestMismatchError,
    FetchBusyError,
    FetchDamagedError,
    FetchError,
    FetchForbiddenError,
    FetchRefusedError,
)
from agent.artifacts.fetch import Registry
from agent.artifacts.flow import Unwatched, Watch
from agent.artifacts.patience import Bounds, Heard, Patience
from contract import oci

log = logging.getLogger(__name__)

LEFT_ALONE_S: Final = 60.0
"""A place that was not there, or too slow, is not asked for so long: each try may take a time-out."""
LOOK_S: Final = 0.5
"""A wait for neighbours looks so often whether pulls may still run."""


class Source(Protocol):
    """Where manifests and blobs may be; the methods are those of `Registry`."""

    def manifest(self, repository: str, digest: str) -> bytes:
        """Return a manifest whose digest was checked; `FetchRefusedError`: it is not there."""

    def blob(self, repository: str, descriptor: oci.Descriptor, target: Path) -> int:
        """Bring ``target`` to the whole blob."""

    def watched(self, watch: Watch) -> "Source":
        """Return the same source for one pull."""


@dataclass(frozen=True)
class Nearby:
    """A source with the name that it has in the settings; ``neighbour``: another device."""

    name: str
    source: Source
    neighbour: bool = False


class Standing:
    """Which sources are left alone, and which gave bytes of a blob that is not whole yet."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self._wrong: set[tuple[str, str]] = set()
        self._gave: dict[str, set[str]] = {}

    def usable(self, name: str, digest: str) -> bool:
        """May this source be asked for this content?"""
        with self._lock:
            return (name, digest) not in self._wrong and self._until.get(name, 0.0) <= self._monotonic()

    def leave_alone(self, name: str) -> None:
        """Ask it for nothing for a while."""
        with self._lock:
            self._until[name] = self._monotonic() + LEFT_ALONE_S

    def wrong(self, name: str, digest: str) -> None:
        """Do not ask it for this content again."""
        with self._lock:
            self._wrong.add((name, digest))

    def gave(self, name: str, digest: str) -> None:
        """Remember that part of this blob came from it."""
        with self._lock:
            self._gave.setdefault(digest, set()).add(name)

    def take_givers(self, digest: str) -> set[str]:
        """Return which gave parts of this blob, and forget it."""
        with self._lock:
            return self._gave.pop(digest, set())


class Sources:
    """`Registry` over the hub and what is nearby."""

    def __init__(
        self,
        hub: Registry,
        nearby: Sequence[Nearby],
        savings: Savings,
        *,
        bounds: Bounds | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """``bounds``: of the wait for neighbours; none: nobody waits. ``draw``: a number from 0 to 1."""
        self._hub = hub
        self._nearby = tuple(nearby)
        self._savings = savings
        self._standing = Standing(monotonic)
        self._bounds = bounds or Bounds()
        self._monotonic, self._sleep, self._draw = monotonic, sleep, draw
        self._watch: Watch = Unwatched()
        self._leads = False

    @property
    def hub(self) -> Registry:
        """See `Registry`."""
        return self._hub

    def watched(self, watch: Watch) -> Self:
        """See `Registry`; what is known of the sources is shared."""
        mine = copy.copy(self)
        mine._hub = self._hub.watched(watch)
        mine._nearby = tuple(
            Nearby(each.name, each.source.watched(watch), each.neighbour) for each in self._nearby
        )
        mine._watch = watch
        return mine

    def manifest(self, repository: str, digest: str) -> bytes:
        """Return a manifest of the first source that has it."""
        for each in self._usable(self._nearby, digest):
            try:
                return each.source.manifest(repository, digest)
            except (FetchError, FetchRefusedError, DigestMismatchError) as error:
                self._fell_through(each, digest, error)
        return self._hub.manifest(repository, digest)

    def referrers(self, repository: str, digest: str) -> bytes:
        """Ask the hub."""
        return self._hub.referrers(repository, digest)

    def blob(self, repository: str, descriptor: oci.Descriptor, target: Path) -> int:
        """Bring a blob from the hub, going on from what others gave of it, unless that was wrong."""
        return self._bring(self._hub, repository, descriptor, target)

    def blob_nearby(
        self, repository: str, descriptor: oci.Descriptor, target: Path, *, patient: bool = False
    ) -> int | None:
        """See `Registry`."""
        bounds = self._bounds if patient else Bounds()
        patience = Patience(bounds, self._draw, self._monotonic(), leads=self._leads)
        asked = self._nearby
        while True:
            found = self._ask_each(asked, repository, descriptor, target)
            if not isinstance(found, Heard):
                self._leads = False
                return found
            wait_s = patience.wait_s(found, self._monotonic())
            if wait_s is None:
                self._leads = patient
                return None
            log.debug("%s: asking the neighbours again in %.1f s", descriptor.digest, wait_s)
            self._rest(wait_s)
            asked = tuple(each for each in self._nearby if each.neighbour)

    def _ask_each(
        self, places: Sequence[Nearby], repository: str, descriptor: oci.Descriptor, target: Path
    ) -> int | Heard:
        """Return the bytes that one of them gave, or what the neighbours said."""
        heard = Heard.NOTHING
        for each in self._usable(places, descriptor.digest):
            had = _size(target)
            try:
                received = self._bring(each.source, repository, descriptor, target)
            except (FetchError, FetchRefusedError, DigestMismatchError) as error:
                said = self._fell_through(each, descriptor.digest, error)
                heard = said if heard is Heard.NOTHING or said is Heard.SOON else heard
                if _size(target) > had:
                    self._standing.gave(each.name, descriptor.digest)
            else:
                self._standing.take_givers(descriptor.digest)
                log.info("%s: %d bytes from %s", descriptor.digest, received, each.name)
                return received
        return heard

    def _rest(self, wait_s: float) -> None:
        """Wait, unless pulls end or may not run; raises `ArtifactError` then."""
        while wait_s > 0:
            self._watch.came(0)
            self._sleep(min(wait_s, LOOK_S))
            wait_s -= LOOK_S
        self._watch.came(0)

    def _usable(self, places: Sequence[Nearby], digest: str) -> Iterator[Nearby]:
        for each in places:
            if self._standing.usable(each.name, digest):
                yield each

    def _bring(self, source: Source, repository: str, descriptor: oci.Descriptor, target: Path) -> int:
        try:
            return source.blob(repository, descriptor, target)
        except FetchDamagedError:
            # What it went on from may be to blame: those who gave it are not asked for it again.
            for name in self._standing.take_givers(descriptor.digest):
                self._standing.wrong(name, descriptor.digest)
            return source.blob(repository, descriptor, target)

    def _fell_through(self, place: Nearby, digest: str, error: Exception) -> Heard:
        """Remember what a place that did not give it deserves; return what it said as a neighbour."""
        if place.neighbour and isinstance(error, FetchBusyError):
            return Heard.SOON
        if isinstance(error, FetchRefusedError) and not (
            place.neighbour and isinstance(error, FetchForbiddenError)
        ):
            log.debug("%s does not have %s: %s", place.name, digest, error)
            return Heard.ABSENT if place.neighbour else Heard.NOTHING
        log.warning("%s is skipped for %s: %s", place.name, digest, error)
        self._savings.add(skipped=1)
        if isinstance(error, DigestMismatchError):
            self._standing.wrong(place.name, digest)
        else:
            self._standing.leave_alone(place.name)
        return Heard.NOTHING


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
