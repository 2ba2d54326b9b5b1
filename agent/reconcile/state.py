"""Values of the planner: what was observed, what is remembered, what shall be done next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from contract.desired import Desired, Module
from contract.digests import sha256
from contract.encoding import canonical

MIB: Final = 1024 * 1024
Phase = Literal["starting", "ready", "draining", "exited", "lost"]
"""``lost``: not running, and not by its own doing (never started, or the machine rebooted)."""


def spec_digest(module: Module) -> str:
    """Return what tells two specifications of a module apart; the same for equal ones.

    How it lives is not part of it: a change of that alone needs no other container.
    """
    return sha256(canonical(msgspec.structs.replace(module, lifecycle=msgspec.UNSET)))


@dataclass(frozen=True)
class ContainerSeen:
    """A container of ours as observed now; ``age_s`` counts from its start or the agent's.

    ``published``: the module's clients reach the socket that it serves; ``exit_code`` is None where it is
    not known. ``out_of_memory``: processes of it were killed for want of memory, all of them or some.
    """

    id: str
    module: Module
    phase: Phase
    age_s: float
    draining_s: float = 0.0
    published: bool = True
    exit_code: int | None = None
    out_of_memory: bool = False

    @property
    def ended_well(self) -> bool:
        """Did it end by itself, and without a fault? Not when some of its processes were killed before."""
        return self.exit_code == 0 and not self.out_of_memory

    @property
    def why(self) -> str:
        """Why it ended, or has to, where that is known; else empty."""
        limit = f"{round(self.module.limits.memory_bytes / MIB, 1):g} MiB"
        return f"out of memory (its limit is {limit})" if self.out_of_memory else ""

    @property
    def spec(self) -> str:
        """Digest of the specification it was started from."""
        return spec_digest(self.module)

    @property
    def alive(self) -> bool:
        """May it be serving, now or soon?"""
        return self.phase in {"starting", "ready"}


@dataclass(frozen=True)
class Observed:
    """What is on the device: containers, and the digests of images that are whole on its disk.

    ``lacking``: specifications, desired or that passed, whose secrets are not all on the device.
    """

    containers: tuple[ContainerSeen, ...] = ()
    staged: frozenset[str] = frozenset()
    lacking: frozenset[str] = frozenset()

    @property
    def ready(self) -> frozenset[str]:
        """Names of the modules of which a container is ready."""
        return frozenset(c.module.name for c in self.containers if c.phase == "ready")

    def of(self, module: str) -> tuple[ContainerSeen, ...]:
        """Return the containers of one module."""
        return tuple(c for c in self.containers if c.module.name == module)


@dataclass(frozen=True)
class Failure:
    """A module's version that did not pass, in the generation that asked for it."""

    generation: int
    reason: str


@dataclass(frozen=True)
class Stop:
    """Why the last container of a specification that stopped by itself did so."""

    spec: str
    reason: str


@dataclass(frozen=True)
class Memory:
    """What survives a restart: the version of each module that last passed, what failed, by module
    the specification that ended and is not to be started again, and why a container last stopped by itself,
    where that is known.
    """

    committed: Mapping[str, Module] = field(default_factory=dict)
    failed: Mapping[str, Failure] = field(default_factory=dict)
    finished: Mapping[str, str] = field(default_factory=dict)
    stopped: Mapping[str, Stop] = field(default_factory=dict)

    def why_stopped(self, module: Module) -> str:
        """Return why a container of just this specification last stopped by itself; empty where unknown."""
        stop = self.stopped.get(module.name)
        return stop.reason if stop is not None and stop.spec == spec_digest(module) else ""


@dataclass(frozen=True)
class Context:
    """What is in flight: digests of images being pulled, and what has to wait before its next try
    (a specification's digest before a start, an image's before a pull).

    ``broken`` are specifications that wait as long as any has to; ``unhealthy`` are ids of containers that
    do not live; ``held`` says by module why it may not be changed now.
    ``pull_troubles``: by digest of an image, why its pull is not through yet; ``start_troubles``: by module,
    why it could not be started the last time. ``fetching`` are specifications whose secrets are being
    fetched or wait before the next try, ``secret_troubles`` says why. ``forbidden``: by specification, why
    the device's owner does not have it started. ``alone``: modules whose next container cannot begin
    beside the last. ``restarts``: how often each module's containers stopped by themselves under the document
    in force.
    """

    pulling: frozenset[str] = frozenset()
    backing_off: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    unhealthy: frozenset[str] = frozenset()
    held: Mapping[str, str] = field(default_factory=dict)
    pull_troubles: Mapping[str, str] = field(default_factory=dict)
    start_troubles: Mapping[str, str] = field(default_factory=dict)
    fetching: frozenset[str] = frozenset()
    secret_troubles: Mapping[str, str] = field(default_factory=dict)
    forbidden: Mapping[str, str] = field(default_factory=dict)
    alone: frozenset[str] = frozenset()
    restarts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pull:
    """Download and check the module's image; nothing that runs is touched."""

    module: Module


@dataclass(frozen=True)
class Fetch:
    """Get the secrets that the module lacks; nothing that runs is touched."""

    module: Module


@dataclass(frozen=True)
class Start:
    """Start a container on the module's socket."""

    module: Module


@dataclass(frozen=True)
class Publish:
    """Lead the module's clients to the socket that the container serves."""

    container_id: str


@dataclass(frozen=True)
class Commit:
    """The version passed: it is the one to go back to from now on."""

    module: Module


@dataclass(frozen=True)
class Fail:
    """The version did not pass: do not try it again in this generation."""

    module: str
    failure: Failure


@dataclass(frozen=True)
class Drain:
    """Ask a container to finish its requests and stop."""

    container_id: str


@dataclass(frozen=True)
class Condemn:
    """Stop a container that runs and does not live: that counts as a crash."""

    container_id: str


@dataclass(frozen=True)
class Finish:
    """The module ended and is not to be started again, until it is desired otherwise."""

    module: Module


@dataclass(frozen=True)
class Note:
    """Remember why a container of the module stopped by itself; ``stop`` is None where that is not known."""

    module: str
    stop: Stop | None


@dataclass(frozen=True)
class Kill:
    """End a container at once: it did not stop in its grace, unless ``reason`` says otherwise."""

    container_id: str
    reason: str = "it did not stop in its grace"


@dataclass(frozen=True)
class Remove:
    """Clear away a container that no longer runs; ``why`` it crashed, where that is known."""

    container_id: str
    crashed: bool
    why: str = ""


@dataclass(frozen=True)
class Forget:
    """Drop a module that is neither desired nor running: its socket and its memory."""

    module: str


Step = (
    Pull | Fetch | Start | Publish | Commit | Fail | Drain | Condemn | Finish | Note | Kill | Remove | Forget
)


def wanted_modules(desired: Desired | None) -> dict[str, Module]:
    """Return the desired modules by name."""
    return {module.name: module for module in desired.modules} if desired else {}
