"""A device in virtual time: no hub, no network, no clock."""

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.identity.store import DeviceFacts
from agent.transport.memory import MemoryTransport
from cloud_hub.pki.signer import DesiredSigner
from contract.desired import Desired, ImageRef, Module
from contract.digests import sha256
from contract.encoding import encode
from simulators.fleet.behaviour import Behaviour
from simulators.fleet.device import SimulatedDevice
from simulators.fleet.journal import Journal


class VirtualTimers:
    """Implements `simulators.fleet.timers.Timers`; time passes in `run`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._numbers = itertools.count()
        self._calls: list[tuple[float, int, Callable[[], None]]] = []

    def now_s(self) -> float:
        return self._now

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._calls, (self._now + seconds, next(self._numbers), call))

    def run(self, seconds: float) -> None:
        until = self._now + seconds
        while self._calls and self._calls[0][0] <= until:
            self._now, _, call = heapq.heappop(self._calls)
            call()
        self._now = until


class Rig:
    """A device with a hub's key, and what it says."""

    signer = DesiredSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))

    def __init__(self, behaviour: Behaviour = Behaviour()) -> None:  # noqa: B008  a frozen value
        self.timers, self.transport, self.journal = VirtualTimers(), MemoryTransport(), Journal("cam-1")
        facts = DeviceFacts(
            device="cam-1",
            workspace="shop",
            hub="",
            mqtt_host="",
            mqtt_port=0,
            desired_keys=self.signer.public_keys(),
        )
        self.device = SimulatedDevice(facts, self.transport, self.timers, behaviour, Random(1), self.journal)
        self.device.start()
        self.transport.connect()

    def roll_out(self, generation: int, *images: str, device: str = "cam-1") -> None:
        """Give it a signed document with a module for each image."""
        now = datetime.now(UTC)
        modules = tuple(
            Module(
                name=image.partition(":")[0],
                image=ImageRef(repository="shop/x", digest=sha256(image.encode()), name=image),
                ready_timeout_s=5,
            )
            for image in images
        )
        desired = Desired(
            device=device,
            workspace="shop",
            generation=generation,
            issued_at=now,
            not_after=now + timedelta(days=1),
            rollout=f"r:{generation}",
            modules=modules,
        )
        self.device.desired_arrived(encode(self.signer.sign(encode(desired))))

    def states(self) -> list[tuple[str, str]]:
        """Return module states and images of the last report."""
        return [(module.state, module.image) for module in self.transport.reports[-1].modules]
