"""Renewal of a device's certificate, with two slots: at each moment one of them holds what the hub knows.

A new key and its certificate come into the slot that does not count. The hub lets the old one count until the
new one is used; so it is used first, by a question of its own, and only then does the slot count here. Killed
or cut off anywhere between, the device goes on with the one or the other: what lies ready is asked about
again, and what counted before is tried where the hub knows the newer one no longer (it was restored).
"""

import http.client
import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from agent.confinement.run import ChildLostError, run_confined
from agent.durable import write_durably
from agent.errors import RenewalError
from agent.identity.pace import Pace, due_at
from agent.identity.store import Identity, Pair
from agent.network.asking import ask
from agent.network.line import DIRECT, Network
from contract.encoding import decode, encode
from contract.enrolment import CERTIFICATE_PATH, RENEW_PATH, EnrolAnswer, RenewRequest
from contract.errors import HeadlandError

log = logging.getLogger(__name__)

NEW_KEY: Final = "agent.identity.new_key"
LOOK_S: Final = 5.0
AWAY_S: Final = 600.0
"""So long without a connection, and the hub is asked whether it still knows the certificate."""


class Renewal:
    """Renews ``identity`` in a thread of its own, from `start` to `stop`.

    ``now`` returns the time as well as it is known (with a zone); ``connected`` whether there is a connection
    to the hub; ``renewed`` is called when another certificate counts.
    """

    def __init__(
        self,
        identity: Identity,
        network: Network = DIRECT,
        *,
        now: Callable[[], datetime],
        connected: Callable[[], bool],
        renewed: Callable[[], None],
        steady_s: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._identity, self._network = identity, network
        self._now, self._connected, self._renewed = now, connected, renewed
        self._steady_s, self._chance = steady_s, chance()
        self._pace = Pace(steady_s(), chance)
        self._seen_s = steady_s()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def start(self) -> None:
        """Look again and again."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a try under way ends by itself."""
        self._stopping.set()

    def look(self) -> None:
        """Try what is due; what fails is logged, and tried again later."""
        now_s = self._steady_s()
        if self._connected():
            self._seen_s = now_s
        step = self._due(now_s) if self._pace.may_try(now_s) else None
        if step is None:
            return
        renewed = False
        try:
            renewed = step()
        except (RenewalError, OSError, http.client.HTTPException) as error:
            log.warning("the device's certificate was not renewed, and that is tried again: %s", error)
        (self._pace.succeeded if renewed else self._pace.failed)(self._steady_s())

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self.look()
            except Exception:
                log.exception("renewal came to nothing; it is looked at again")

    def _due(self, now_s: float) -> Callable[[], bool] | None:
        """Return what is to be done; it says whether another certificate counts since."""
        held, other = self._identity.held.validity(), self._identity.other.validity()
        if held is None:
            return self._use_any
        if other is not None and other.begins > held.begins:
            return lambda: self._use(self._identity.other)
        if self._now() >= due_at(held, self._chance):
            return self._renew
        return self._ask_again if now_s - self._seen_s > AWAY_S else None

    def _renew(self) -> bool:
        if not self._is_known():  # another may be: a slot is emptied only when none of them is needed
            return self._use_any()
        pair = self._identity.other
        self._empty(pair)
        try:
            csr_pem = run_confined(NEW_KEY, {"folder": str(pair.folder.absolute())}, folders=[pair.folder])
        except ChildLostError as error:
            raise RenewalError("no new key could be made", where=str(pair.folder)) from error
        status, body = self._call(None, "POST", RENEW_PATH, encode(RenewRequest(csr_pem=csr_pem)))
        if status != HTTPStatus.OK:
            raise self._refused(status)
        try:
            answer = decode(body, EnrolAnswer, what="renewal answer")
        except HeadlandError as error:
            raise RenewalError("the hub's answer cannot be read", where=self._identity.facts.hub) from error
        write_durably(pair.certificate_file, answer.certificate_pem.encode())
        return self._use(pair)

    def _is_known(self) -> bool:
        """Does the hub know what we hold? Raises where it gives no answer to that."""
        status, _ = self._call(None, "GET", CERTIFICATE_PATH, None)
        if status not in {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}:
            raise self._refused(status)
        return status == HTTPStatus.OK

    def _use(self, pair: Pair) -> bool:
        """Have the hub count a pair, and then count it here; one that is of no use is forgotten."""
        if not pair.fits():
            self._forget(pair)
            raise RenewalError("key and certificate do not fit together", where=str(pair.folder))
        status, _ = self._call(pair, "GET", CERTIFICATE_PATH, None)
        if status == HTTPStatus.UNAUTHORIZED:
            self._forget(pair)
        if status != HTTPStatus.OK:
            raise self._refused(status)
        self._identity.hold(pair)
        if (found := pair.validity()) is not None:
            log.info("the device has a new certificate, until %s UTC", f"{found.ends:%Y-%m-%d %H:%M}")
        self._renewed()
        return True

    def _ask_again(self) -> bool:
        """The hub is away, or knows us no longer: then what was before may be what it knows."""
        self._seen_s = self._steady_s()
        return not self._is_known() and self._use_any()

    def _use_any(self) -> bool:
        """Use the first of the other pairs that the hub knows."""
        refused = self._refused(HTTPStatus.UNAUTHORIZED)
        for pair in self._identity.others:
            try:
                return self._use(pair)
            except RenewalError as error:
                refused = error
        raise refused

    def _forget(self, pair: Pair) -> None:
        if pair == self._identity.other:
            pair.certificate_file.unlink(missing_ok=True)

    def _empty(self, pair: Pair) -> None:
        pair.folder.parent.mkdir(mode=0o700, exist_ok=True)
        pair.folder.mkdir(mode=0o700, exist_ok=True)
        for file in (pair.certificate_file, pair.key_file):
            file.unlink(missing_ok=True)

    def _call(self, pair: Pair | None, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        hub, context = self._identity.facts.hub, self._identity.tls_context(pair)
        self._network.trust(context, urlsplit(hub).hostname or "")
        return ask(self._network, hub, context, method, path, body)

    def _refused(self, status: int) -> RenewalError:
        return RenewalError(f"the hub answered {status}", where=self._identity.facts.hub)
