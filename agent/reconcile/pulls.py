"""Images on their way to this device: pulled in the background, so that nothing else waits for them."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from agent.artifacts.delta import Savings
from agent.artifacts.errors import DiskTooSmallError, FetchSlowError, PullWaitsError
from agent.artifacts.fetch import Registry
from agent.artifacts.flow import Flow
from agent.artifacts.pull import StagedImage, digests_of, pull_image, staged_image, sweep
from agent.artifacts.room import storing
from agent.artifacts.store import ContentStore
from agent.durable import DISK_ERRORS
from agent.reconcile.backoff import DISK_WAIT_S, Backoff
from contract.desired import ImageRef, Module
from contract.errors import HeadlandError

log = logging.getLogger(__name__)

AT_ONCE = 4
LOOK_AGAIN_S = 60.0


class Pulls:
    """Starts pulls, knows which are going on, and what is whole on disk."""

    def __init__(
        self,
        registry: Registry,
        store: ContentStore,
        backoff: Backoff,
        wake: Callable[[], None],
        flow: Flow | None = None,
        savings: Savings | None = None,
    ) -> None:
        self._flow = flow or Flow()
        self._registry = registry
        self._store = store
        self._backoff = backoff
        self._wake = wake
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pull")
        self._lock = threading.Lock()
        self._in_flight: set[str] = set()
        self._failures: list[tuple[Module, str]] = []
        self._staged: dict[str, StagedImage] = {}
        self._needed: tuple[ImageRef, ...] = ()
        self._troubles: dict[str, str] = {}
        self.savings = savings or Savings()

    def close(self) -> None:
        """Start nothing more; what is half here is gone on with by the next agent."""
        self._flow.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def in_flight(self) -> frozenset[str]:
        """Return the digests of images that are being pulled."""
        with self._lock:
            return frozenset(self._in_flight)

    def start(self, module: Module) -> None:
        """Pull a module's image, unless it is being pulled, or pulls may not run now."""
        if (closed := self._flow.closed()) is not None:
            why, wait_s = closed
            self._wait(module, f"{why} [{PullWaitsError.code}]", wait_s)
            return
        with self._lock:
            if module.image.digest in self._in_flight:
                return
            self._in_flight.add(module.image.digest)
        log.info("module %s: pulling %s", module.name, module.image.name)
        self._pool.submit(self._run, module)

    def staged(self, module: Module) -> StagedImage | None:
        """Return a module's image if it is whole on disk and not being worked on."""
        digest = module.image.digest
        with self._lock:
            if digest in self._in_flight:
                return None
            known = self._staged.get(digest)
        if known is None:
            known = staged_image(module.image, self._store)
            if known is not None:
                with self._lock:
                    self._staged[digest] = known
        return known

    def keep(self, modules: list[Module]) -> None:
        """Leave the images of ``modules`` on disk, whatever room a pull needs; before `staged` is asked."""
        with self._lock:
            self._needed = tuple(module.image for module in modules)
            needed = {ref.digest for ref in self._needed}
            self._troubles = {digest: why for digest, why in self._troubles.items() if digest in needed}

    def troubles(self) -> dict[str, str]:
        """Return, by digest, why images that are to be pulled are not here yet."""
        with self._lock:
            return dict(self._troubles)

    def take_failures(self) -> list[tuple[Module, str]]:
        """Return, once each, the pulls that failed for good, with the reason."""
        with self._lock:
            failures, self._failures = self._failures, []
        return failures

    def collect_garbage(self, needed: list[Module]) -> None:
        """Delete what none of ``needed`` uses; later, while something is on its way here."""
        if self.in_flight() or any(self.staged(module) is None for module in needed):
            return
        keep = {module.image.digest for module in needed}
        with self._lock:
            self._staged = {digest: image for digest, image in self._staged.items() if digest in keep}
        gone = sweep([module.image for module in needed], self._store)
        if gone:
            log.info("swept %d layers and blobs that nothing uses", len(gone))

    def _run(self, module: Module) -> None:
        try:
            registry = self._registry.watched(self._flow.watch(module.image.digest))
            with storing(self._store.work_dir, only=DISK_ERRORS):
                pull_image(module.image, registry, self._store, self.savings, self._make_room)
            self._backoff.healthy(module.image.digest)
            self._flow.forget(module.image.digest)
            with self._lock:
                self._troubles.pop(module.image.digest, None)
        except FetchSlowError as error:
            log.info("module %s: the pull goes on later: %s", module.name, error)
            self._backoff.healthy(module.image.digest)  # it got on: no longer wait than the shortest
            self._failed(module, f"{error} [{error.code}]", for_good=False)
        except PullWaitsError as error:
            self._wait(module, f"{error} [{error.code}]", 0.0)
        except DiskTooSmallError as error:
            self._wait(module, f"tried again: {error} [{error.code}]", DISK_WAIT_S)
        except HeadlandError as error:
            log.warning("module %s: pull failed: %s", module.name, error)
            self._failed(module, f"{error} [{error.code}]", for_good=not error.retriable)
        except Exception as error:
            log.exception("module %s: pull failed", module.name)
            self._failed(module, type(error).__name__, for_good=False)
        finally:
            with self._lock:
                self._in_flight.discard(module.image.digest)
            self._wake()

    def _failed(self, module: Module, reason: str, *, for_good: bool) -> None:
        self._backoff.failed(module.image.digest)
        with self._lock:
            if for_good:
                self._flow.forget(module.image.digest)
                self._failures.append((module, f"pull failed: {reason}"))
                self._troubles.pop(module.image.digest, None)
            else:
                self._troubles[module.image.digest] = f"tried again: {reason}"

    def _wait(self, module: Module, why: str, wait_s: float) -> None:
        """Look again later: soon, since a clock may be set, and what was half pulled is kept."""
        digest = module.image.digest
        self._backoff.hold(digest, min(LOOK_AGAIN_S, wait_s))
        with self._lock:
            known = self._troubles.get(digest)
            self._troubles[digest] = why
        if known != why:
            log.info("module %s: its pull %s", module.name, why)

    def _make_room(self) -> None:
        """Delete what is not needed now, while pulls go on."""
        with self._lock:
            keep = {digest for ref in self._needed for digest in digests_of(ref, self._store)}
            needed = {ref.digest for ref in self._needed}
            self._staged = {digest: image for digest, image in self._staged.items() if digest in needed}
            gone = self._store.make_room(keep)
        if gone:
            log.info("the disk is short of room: swept %d layers and downloads that nothing uses", len(gone))
