"""The port `Transport`: what the agent's core needs of any hub, MQTT or not."""

from typing import Protocol

from contract.messages import Ack, Batch, Hello, Reported


class Events(Protocol):
    """What the core does when the hub is there or says something; called from any thread."""

    def connected(self) -> None:
        """A new connection stands: say hello, report, send what waits."""

    def desired_arrived(self, envelope: bytes) -> None:
        """An envelope with a desired document came; it is not yet verified."""

    def ack_arrived(self, ack: Ack) -> None:
        """The hub stored a stream up to a mark."""


class Transport(Protocol):
    """A connection to the hub that mends itself.

    Sending never blocks for long and never raises for a missing network: what is lost is said
    again by the protocol (hello after each connect, reports, batches until acknowledged).
    """

    def start(self, events: Events) -> None:
        """Connect and keep connecting, with capped and jittered back-off."""

    def stop(self) -> None:
        """Say goodbye and free all resources."""

    def retry_now(self) -> None:
        """What kept it from connecting may be over: do not wait for the next try."""

    def connect_anew(self) -> None:
        """End the connection, if there is one, and make another: who we are may be shown anew."""

    def is_connected(self) -> bool:
        """Is there a connection now?"""

    def send_hello(self, hello: Hello) -> None:
        """Say what this device holds."""

    def send_reported(self, reported: Reported) -> None:
        """Say what runs."""

    def send_batch(self, stream: str, batch: Batch, *, compress: bool) -> int:
        """Send samples and return the message's bytes (0: no connection).

        ``compress`` says that the hub reads compressed messages. An `Ack` follows once the hub has
        stored them.
        """
