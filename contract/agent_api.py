"""The agent's socket as a module sees it: HTTP over a Unix socket mounted into its container.

========  ==========================  ==================================================================
method    path                        meaning
========  ==========================  ==================================================================
POST      ``/v1/ready``               the module serves on its socket from now on
POST      ``/v1/defer``               `Deferral`: not now; 200 tells until when a change waits at most
POST      ``/v1/telemetry/{stream}``  `Handover`; 200 means: on this device's disk, the agent's business
========  ==========================  ==================================================================
"""

import msgspec

SOCKET_ENV = "HEADLAND_AGENT_SOCKET"
MODULE_ENV = "HEADLAND_MODULE"
IMAGE_ENV = "HEADLAND_IMAGE"
CONTAINER_ENV = "HEADLAND_CONTAINER"
SECRETS_ENV = "HEADLAND_SECRETS_DIR"
SECRETS_FOLDER = "/run/secrets"
"""Where a module finds its secrets, each a file; the variable says it too, for a driver without isolation."""
LISTEN_FD = 3
LISTENERS_ENV = "HEADLAND_LISTENERS"
"""Where descriptors cannot be inherited: the Unix socket that hands the listening sockets over."""
READY_PATH = "/v1/ready"
DEFER_PATH = "/v1/defer"
UPDATE_LOCK = "update.lock"
"""A file in ``/run/headland``; while somebody holds a lock on it (flock), a change waits."""
TELEMETRY_PATH = "/v1/telemetry/"


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """Samples a module hands to the agent, in order.

    ``producer`` is random for each life of the module and ``number`` counts its hand-overs from 1:
    the same pair sent again (the answer was lost) is stored once.
    """

    producer: str
    number: int
    sampled_at_us: tuple[int, ...]
    bodies: tuple[msgspec.Raw, ...]


class HandoverAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many samples were taken in now; 0 where the hand-over was already known.

    Fewer than were handed over where the outbox is full and the stream's policy is to drop what comes.
    """

    stored: int


class Deferral(msgspec.Struct, frozen=True, kw_only=True):
    """A module asks that it is not changed for ``seconds``; 0 takes that back."""

    seconds: float


class DeferralAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """For how many seconds from now a change waits: less than was asked for, where the owner allows less."""

    seconds: float
