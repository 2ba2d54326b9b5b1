"""A transport that goes nowhere: what was sent is kept, what comes is said by hand."""

from agent.transport.port import Events
from contract.batches import pack
from contract.messages import Batch, Hello, Reported


class MemoryTransport:
    """`Transport` for tests and simulators; ``online`` may be switched."""

    def __init__(self) -> None:
        self.online = False
        self.events: Events | None = None
        self.hellos: list[Hello] = []
        self.reports: list[Reported] = []
        self.batches: list[tuple[str, Batch]] = []
        self.payloads: list[bytes] = []

    def start(self, events: Events) -> None:
        """Keep whom to tell; connected only when `connect` is called."""
        self.events = events

    def stop(self) -> None:
        """Go offline."""
        self.online = False

    def connect(self) -> None:
        """Come online, as a network would."""
        self.online = True
        if self.events is not None:
            self.events.connected()

    def retry_now(self) -> None:
        """It connects when it is told to."""

    def connect_anew(self) -> None:
        """Go offline; it connects when it is told to."""
        self.online = False

    def is_connected(self) -> bool:
        """Is it online?"""
        return self.online

    def send_hello(self, hello: Hello) -> None:
        """Keep it."""
        if self.online:
            self.hellos.append(hello)

    def send_reported(self, reported: Reported) -> None:
        """Keep it."""
        if self.online:
            self.reports.append(reported)

    def send_batch(self, stream: str, batch: Batch, *, compress: bool) -> int:
        """Keep it, and the bytes that a message would have."""
        if not self.online:
            return 0
        payload = pack(batch, compress=compress)
        self.payloads.append(payload)
        self.batches.append((stream, batch))  # last: who takes a batch from another thread finds its payload
        return len(payload)
