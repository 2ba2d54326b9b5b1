"""A device whose clock is set while it works: a real daemon, a registry, a broker and a service manager.

Controls are other builds of the same daemon: `BY_THE_CLOCK` measures time by the clock that is set, and
`AT_EACH` acts on each time that it is set.
"""

import contextlib
import http.client
import itertools
import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from agent.endpoints.control import hand_over
from agent.endpoints.unix_client import UnixHttpConnection
from contract.desired import Limits, Module
from contract.lifecycle import Lifecycle
from simulators.wrong_clock import WrongClock
from tests.clock.broker import Broker
from tests.faults.rig import MODULES, Rig

DAY_S: Final = 86_400.0
IN_1970: Final = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
WATCHDOG_S: Final = 6.0
PAYLOAD_BYTES: Final = 240_000
RATE: Final = 100_000
SETTINGS: Final = f"""
[pull]
max_bytes_per_s = {RATE}
deadline_s = 60.0
[logs]
max_bytes = 16384
"""
_BUILD: Final = "import sys; {}; sys.argv = sys.argv[1:]; from agent.cli import main; sys.exit(main())"
BY_THE_CLOCK: Final = _BUILD.format("import time; time.monotonic = time.time")
AT_EACH: Final = _BUILD.format("import agent.clock; agent.clock.TOLD_AT_ONCE = 10**9")


class Jumping(Rig):
    """One device in ``folder`` that lives by a clock of its own; ``build``: another daemon, as a control."""

    def __init__(self, folder: Path, *, build: str = "", settings: str = SETTINGS) -> None:
        super().__init__(folder, payload_bytes=PAYLOAD_BYTES)
        with (folder / "agent.toml").open("a") as file:
            file.write(settings)
        self.clock, self._ahead_s = WrongClock(folder), 0.0
        self.lives: dict[str, Lifecycle] = {}
        self.broker = Broker(self.device.authority, folder, silent=False, receipts=True)
        self.device.mqtt_port = self.broker.port
        self.device.enrol()
        self.pings: list[float] = []
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(str(folder / "notify"))
        threading.Thread(target=self._listen, daemon=True).start()
        told = (f"NOTIFY_SOCKET={folder / 'notify'}", f"WATCHDOG_USEC={WATCHDOG_S * 1e6:.0f}")
        self.daemon.before = (*self.clock.words, *told, *((sys.executable, "-c", build) if build else ()))

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while told := self._line.recv(4096):
                if told == b"WATCHDOG=1":
                    self.pings.append(time.monotonic())

    def jump(self, *ahead_s: float, each_s: float = 0.6) -> None:
        """Set the clock ahead by each of these, and let it be so for a while."""
        for seconds in ahead_s:
            self._ahead_s = seconds
            self.clock.set_ahead(seconds)
            time.sleep(each_s)

    def jump_all(self, each_s: float = 0.6) -> None:
        """Set it to 1970, 90 days ahead, a day behind, and right again."""
        self.jump(IN_1970.timestamp() - time.time(), 90 * DAY_S, -DAY_S, 0, each_s=each_s)

    @contextlib.contextmanager
    def jumps(self, each_s: float = 0.6) -> Iterator[None]:
        """Set it again and again meanwhile; it is right afterwards."""
        over = threading.Event()

        def go_on() -> None:
            while not over.is_set():
                self.jump_all(each_s)

        with _beside(go_on, over):
            yield

    @contextlib.contextmanager
    def writes_alive(self, module: str) -> Iterator[None]:
        """Write a module's file of life meanwhile, with the time that its clock says."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(0.2):
                for run in (self.state / "containers").glob(f"{module}-*/run"):
                    with contextlib.suppress(OSError):
                        (run / "alive").touch()
                        os.utime(run / "alive", (time.time(), time.time() + self._ahead_s))

        with _beside(go_on, over):
            yield

    def document(self, generation: int, version: int, *, modules: Sequence[str] = MODULES) -> bytes:
        """Return the signed document of a generation; modules live as is said in ``lives``."""
        assert tuple(modules) == MODULES
        return self.living(generation, version, **self.lives)

    def living(self, generation: int, version: int, **lives: Lifecycle) -> bytes:
        """Return a signed document in which modules live as is said."""
        limits = Limits(memory_bytes=32 * 1024 * 1024)
        image = self.images[version]
        modules = (
            Module(name=m, image=image, stop_grace_s=3, limits=limits, lifecycle=lives.get(m, Lifecycle()))
            for m in MODULES
        )
        return self.device.document(generation, *modules)

    def give(self, envelope: bytes) -> None:
        """Give the agent a document that it takes."""
        hand_over(self.state, envelope)

    def is_large(self, digest: str) -> bool:
        """Is it a blob that takes its time?"""
        return len(self.registry.content.get(digest, b"")) >= PAYLOAD_BYTES

    def all_sent(self) -> bool:
        """Did the registry send whatever takes its time?"""
        large = {digest: len(data) for digest, data in self.registry.content.items() if self.is_large(digest)}
        return all(self.registry.sent.get(digest, 0) >= size for digest, size in large.items())

    def reasons(self) -> dict[str, str]:
        """Return by module what the agent says is the matter."""
        report = self.reported()
        return {module.name: module.reason for module in report.modules} if report else {}

    def home(self, module: str) -> Path:
        """The folder of a module's one container."""
        (home,) = (self.state / "containers").glob(f"{module}-*")
        return home

    def defer(self, module: str, seconds: float) -> float:
        """Put changes off as the module would; return the seconds granted."""
        answer = self._say(module, "/v1/defer", {"seconds": seconds})
        return float(answer["seconds"])

    def put_sample(self, module: str, number: int) -> None:
        """Hand a sample over as the module would, with the time that its clock says."""
        at_us = time.time_ns() // 1000
        self._say(
            module,
            "/v1/telemetry/s",
            {"producer": "p" * 32, "number": number, "sampled_at_us": [at_us], "bodies": [{"n": number}]},
        )

    def _say(self, module: str, path: str, body: object) -> dict[str, float]:
        connection = UnixHttpConnection(self.home(module) / "run" / "agent.sock")
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            words = answer.read()
            assert answer.status == http.client.OK, words
            return msgspec.json.decode(words, type=dict[str, float]) if path == "/v1/defer" else {}
        finally:
            connection.close()

    def heard(self) -> Counter[str]:
        """Return what the broker heard so far, by the last part of the topic, with ``tries`` to connect."""
        found = Counter(topic.rpartition("/")[2] for _, topic in self.broker.heard)
        return found + Counter(tries=len(self.broker.tries))

    def close(self) -> None:
        """Leave nothing running."""
        super().close()
        self.broker.close()
        self._line.close()


@contextlib.contextmanager
def _beside(go_on: Callable[[], None], over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def gaps(at: Sequence[float]) -> list[float]:
    """Return the time between each two moments that follow."""
    return [later - earlier for earlier, later in itertools.pairwise(at)]
