"""Secrets on their way to modules: fetched in the background, and handed over when a container starts."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.drivers.bundle import user_ids
from agent.drivers.port import USER, Mount
from agent.reconcile.backoff import Backoff
from agent.reconcile.state import spec_digest
from agent.secrets.errors import SecretGoneError, SecretUnavailableError
from agent.secrets.memory import SecretMemory
from agent.secrets.sealed import SealedSecrets
from agent.secrets.source import NoSecrets, SecretSource
from contract.agent_api import SECRETS_FOLDER
from contract.desired import Module
from contract.errors import HeadlandError
from contract.secrets import SecretRef

log = logging.getLogger(__name__)

NOWHERE: Final = Path("/nonexistent")


@dataclass(frozen=True)
class SecretPlaces:
    """Where values come from, lie, and are used; as it is by default, there is no place for any."""

    source: SecretSource = field(default_factory=NoSecrets)
    sealed: SealedSecrets = field(default_factory=lambda: SealedSecrets(NOWHERE, NOWHERE, "", ""))
    memory: SecretMemory = field(default_factory=lambda: SecretMemory(NOWHERE))


class Giving:
    """Fetches what modules are given, knows what is lacking, and hands it to containers."""

    def __init__(self, places: SecretPlaces, backoff: Backoff, wake: Callable[[], None]) -> None:
        self._places = places
        self._backoff = backoff
        self._wake = wake
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="secrets")
        self._lock = threading.Lock()
        self._in_flight: set[str] = set()
        self._opened: set[SecretRef] = set()
        self._troubles: dict[str, str] = {}
        self._untidy = ""
        self._failures: list[tuple[Module, str]] = []

    def close(self) -> None:
        """Start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def keep(self, modules: Iterable[Module], container_ids: Iterable[str]) -> None:
        """Forget what neither ``modules`` nor containers use any more, on disk and in memory.

        A disk that fails stops nothing else: the next round tries again.
        """
        needed = frozenset(_of(ref) for module in modules for ref in module.given)
        with self._lock:
            self._opened &= needed
        try:
            gone = self._places.sealed.keep(needed)
            if gone:
                log.info("secrets that nothing uses any more are deleted: %s", ", ".join(gone))
            self._places.memory.keep(container_ids)
            self._untidy = ""
        except OSError as error:
            if self._untidy != str(error):
                log.warning("secrets that nothing uses any more cannot be deleted: %s", error)
            self._untidy = str(error)

    def lacking(self, modules: Iterable[Module]) -> frozenset[str]:
        """Return the specifications whose secrets are not all here."""
        found = {spec_digest(module) for module in modules if not all(map(self._is_here, module.given))}
        with self._lock:
            self._troubles = {spec: why for spec, why in self._troubles.items() if spec in found}
        return frozenset(found)

    def busy(self) -> frozenset[str]:
        """Return the specifications whose secrets are being fetched, or wait before the next try."""
        waiting = self._backoff.waiting()
        with self._lock:
            return frozenset(self._in_flight | {spec for spec in self._troubles if _wait_of(spec) in waiting})

    def troubles(self) -> dict[str, str]:
        """Return, by specification, why secrets are not here yet."""
        with self._lock:
            return dict(self._troubles)

    def take_failures(self) -> list[tuple[Module, str]]:
        """Return, once each, the modules whose secrets cannot be had, with the reason."""
        with self._lock:
            failures, self._failures = self._failures, []
        return failures

    def start(self, module: Module) -> None:
        """Fetch what a module lacks, unless that is being done."""
        spec = spec_digest(module)
        with self._lock:
            if spec in self._in_flight:
                return
            self._in_flight.add(spec)
        self._pool.submit(self._fetch, module, spec)

    def hand_over(self, container_id: str, module: Module, user: str) -> tuple[Mount, ...]:
        """Put a module's secrets into memory for one container; return what is mounted into it.

        Raises `SecretUnavailableError`, `NoMemoryFolderError` and `OSError`.
        """
        if not module.given:
            return ()
        files = {}
        for ref in module.given:
            value = self._places.sealed.get(_of(ref))
            if value is None:
                with self._lock:
                    self._opened.discard(_of(ref))
                raise SecretUnavailableError(
                    "what is kept of it does not open", where=f"secret {ref.label}", fix="It is fetched anew."
                )
            files[ref.file] = value
        ids = user_ids(user if USER.fullmatch(user) else "")
        folder = self._places.memory.give(container_id, files, ids)
        return (Mount(folder, SECRETS_FOLDER, read_only=True),)

    def take_back(self, container_id: str) -> None:
        """A container is gone: so are its secrets in memory."""
        self._places.memory.take_back(container_id)

    def _is_here(self, ref: SecretRef) -> bool:
        """Is a value on disk, and does it open? The second is found out once, and again at each start."""
        ref = _of(ref)
        with self._lock:
            if ref in self._opened:
                if self._places.sealed.has(ref):
                    return True
                self._opened.discard(ref)
        if self._places.sealed.get(ref) is None:
            return False
        with self._lock:
            self._opened.add(ref)
        return True

    def _fetch(self, module: Module, spec: str) -> None:
        try:
            for ref in module.given:
                if not self._is_here(ref):
                    value = self._places.source.fetch(ref)
                    self._places.sealed.put(_of(ref), value)  # given up meanwhile, it goes in the next round
                    log.info("module %s: secret %s is here", module.name, ref.label)
            self._backoff.healthy(_wait_of(spec))
            with self._lock:
                self._troubles.pop(spec, None)
        except HeadlandError as error:
            self._failed(module, spec, f"{error} [{error.code}]", for_good=isinstance(error, SecretGoneError))
        except OSError as error:
            self._failed(module, spec, f"it cannot be kept: {error.strerror}", for_good=False)
        except Exception as error:
            # Not its words, nor where it came from: either could hold a value.
            self._failed(module, spec, type(error).__name__, for_good=False)
        finally:
            with self._lock:
                self._in_flight.discard(spec)
            self._wake()

    def _failed(self, module: Module, spec: str, reason: str, *, for_good: bool) -> None:
        self._backoff.failed(_wait_of(spec))
        with self._lock:
            known = self._troubles.get(spec)
            self._troubles[spec] = reason
            if for_good:
                self._failures.append((module, reason))
        if known != reason:
            log.warning("module %s: a secret is not here: %s", module.name, reason)


def _of(ref: SecretRef) -> SecretRef:
    """Return what tells a value apart: not the file's name, which may differ from module to module."""
    return SecretRef(file="", name=ref.name, version=ref.version)


def _wait_of(spec: str) -> str:
    """Return the name under which a fetch waits: that of its start is another."""
    return f"secrets of {spec}"
