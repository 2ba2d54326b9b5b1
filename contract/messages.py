"""Messages of the device protocol, version 1, other than the desired document."""

from datetime import datetime
from typing import Literal

import msgspec

ModuleState = Literal[
    "pulling", "starting", "running", "stopping", "failed", "rolled_back", "broken", "waiting", "exited"
]


AgentState = Literal["running", "pulling", "waiting", "trial", "failed"]


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Device to hub after each connect: the generation it holds (0: none) and what it is."""

    generation: int
    agent_version: str
    driver: str


class ModuleReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one module is: the image that runs (or is tried), and the reason where it is not fine.

    ``restarts``: how often its containers stopped by themselves since the document is in force, or since the
    agent began; older agents do not say it.
    """

    name: str
    state: ModuleState
    image: str
    digest: str
    reason: str = ""
    restarts: int | msgspec.UnsetType = msgspec.UNSET


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A desired document the device would not accept: the reason's stable code, and words.

    ``generation`` is the document's, where it could be read; older agents do not send it.
    """

    code: str
    reason: str
    generation: int | msgspec.UnsetType = msgspec.UNSET


class StreamDrops(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one stream that went without the hub's acknowledgement, since the outbox was made.

    ``evicted`` were stored and made room for others, ``incoming`` came while the outbox was full,
    ``expired`` outlived their stream's time to live. ``refused`` were not lost here: the module was
    told that there is no room.
    """

    stream: str
    evicted: int = 0
    incoming: int = 0
    expired: int = 0
    refused: int = 0


class OutboxReport(msgspec.Struct, frozen=True, kw_only=True):
    """Samples that wait on the device, and samples it had to drop since its outbox was made.

    ``streams`` tells of those with the most drops, at most 32; older agents do not send it.
    """

    pending: int
    dropped: int
    streams: tuple[StreamDrops, ...] | msgspec.UnsetType = msgspec.UNSET


class PullReport(msgspec.Struct, frozen=True, kw_only=True):
    """Layers that came to the device since its agent started.

    ``saved_bytes`` is what the whole layers would have been beyond the deltas that came instead;
    ``fallbacks`` counts deltas that were of no use, so that the whole layer came after all. A device with
    other sources than the hub also says how much they gave, and how often one was skipped; one that serves
    its neighbours, how much it gave them.
    """

    received_bytes: int
    saved_bytes: int
    deltas: int
    fallbacks: int
    elsewhere_bytes: int | msgspec.UnsetType = msgspec.UNSET
    skipped_sources: int | msgspec.UnsetType = msgspec.UNSET
    served_bytes: int | msgspec.UnsetType = msgspec.UNSET


class AgentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent itself is: its version, and the release that it runs from (empty: its package).

    ``ordered`` is the release that the document in force names. ``waiting``: it is on the disk, and takes
    over when no module is moving. ``trial``: it runs, and has yet to prove itself. ``failed``: it is not
    used, for ``reason``; what ran before runs.
    """

    version: str
    release: str = ""
    ordered: str = ""
    state: AgentState = "running"
    reason: str = ""


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """Device to hub: the observed state, sent on each change and repeated now and then."""

    generation: int
    at: datetime
    converged: bool
    modules: tuple[ModuleReport, ...]
    outbox: OutboxReport
    refused: Refusal | None = None
    pulls: PullReport | msgspec.UnsetType = msgspec.UNSET
    agent: AgentReport | msgspec.UnsetType = msgspec.UNSET


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive samples of one stream; the stream is in the topic.

    Sample ``i`` has sequence ``first + i``, was taken ``sampled_at_us[i]`` microseconds after the
    Unix epoch, and has the JSON value ``bodies[i]``. ``after`` is the sequence that the device
    takes as already sent: a hub whose mark is below it has missed a batch and must not store this
    one, while what lies between ``after`` and ``first`` was dropped on the device.
    ``epoch`` names one life of the device's outbox; a new one starts its sequences again.
    """

    epoch: str
    after: int
    first: int
    sampled_at_us: tuple[int, ...]
    bodies: tuple[msgspec.Raw, ...]

    @property
    def last(self) -> int:
        """Sequence of the last sample; ``first - 1`` where the batch is empty."""
        return self.first + len(self.bodies) - 1


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Hub to device, after its commit: every sample of the stream up to ``mark`` is stored.

    ``gap`` says that a batch came whose ``after`` is beyond the mark: it was not stored, and the
    device shall send again from behind the mark. ``encodings`` names what the hub reads beside plain
    JSON (`contract.batches`); older hubs do not say it, and read nothing else.
    """

    epoch: str
    stream: str
    mark: int
    gap: bool = False
    encodings: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


MAX_SEQUENCE = 2**62
MAX_TIME_US = 253_402_300_799_999_999  # the end of the year 9999


def sample_fault(sampled_at_us: tuple[int, ...], bodies: tuple[msgspec.Raw, ...]) -> str:
    """Return why samples cannot be stored, or an empty text: both ends must agree on that.

    Each has a time between 1970 and 9999, and a body that is UTF-8 (the reader of a message does
    not look into its bodies).
    """
    if len(sampled_at_us) != len(bodies):
        return "sampled_at_us and bodies differ in length"
    if any(not 0 <= at_us <= MAX_TIME_US for at_us in sampled_at_us):
        return "a time is not between the years 1970 and 9999"
    try:
        for body in bodies:
            bytes(body).decode()
    except UnicodeDecodeError:
        return "a body is not UTF-8"
    return ""


class InputSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's input looked like, without the input: its shape and four statistics."""

    shape: tuple[int, ...]
    mean: float
    std: float
    min: float
    max: float


class Inference(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a sample of stream ``inference``: one scored request."""

    request_id: str
    module: str
    model: str
    model_version: str
    image: str
    latency_us: int
    prediction: msgspec.Raw
    input: InputSummary
