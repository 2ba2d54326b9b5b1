"""The port `Driver` and its values."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Final

from agent.drivers.grants import NOTHING, Grants
from agent.errors import AgentError
from contract.desired import Limits

CONTAINER_ID: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")
ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SOCKET_NAME: Final = "socket"  # of the first descriptor, among those in LISTEN_FDNAMES
LISTENER_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LISTENERS_MAX: Final = 32
USER: Final = re.compile(r"(?:[0-9]{1,9}(?::[0-9]{1,9})?)?")


class DriverError(AgentError):
    """A driver could not do what it was asked to; another try may do better, unless a subclass says no."""

    code = "driver-failed"
    retriable = True


class InvalidContainerError(DriverError):
    """A container's specification breaks a rule; it will never start as it is."""

    code = "container-invalid"
    retriable = False


class ContainerRunningError(DriverError):
    """The container runs, so it cannot be removed, or not be started again."""

    code = "container-running"
    retriable = False


class ContainerStoppedError(DriverError):
    """The container does not run, so nothing can run in it."""

    code = "container-stopped"


class DriverTimeoutError(DriverError):
    """The machine did not do in time what it was asked to."""

    code = "driver-timeout"


class DriverUnavailableError(DriverError):
    """The machine cannot run containers the way that was asked for."""

    code = "driver-unavailable"
    retriable = False


@dataclass(frozen=True)
class Mount:
    """A folder or file of the device, seen in the container at the absolute path ``target``.

    ``descriptor`` (O_PATH), where there is one, is ``source`` as it was judged: what is mounted where the
    driver mounts by itself, whatever stands at that path by then. Without ``mapped`` a container with a user
    namespace sees what is in it as nobody's, and reads what all others may.
    """

    source: Path
    target: str
    read_only: bool
    descriptor: int | None = None
    mapped: bool = True


@dataclass(frozen=True)
class ContainerSpec:
    """One container to start.

    ``layers`` are unpacked layer folders, lowest first. ``user`` is ``uid:gid`` or ``uid`` in
    numbers; empty leaves it to the driver, which then never takes root where it can choose. ``home``
    is an existing folder of this container's own, where the driver keeps what it needs. Standard
    output and error are appended to ``log``.
    """

    id: str
    layers: tuple[Path, ...]
    args: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    user: str
    mounts: tuple[Mount, ...]
    limits: Limits
    home: Path
    log: Path
    grants: Grants = NOTHING


@dataclass(frozen=True)
class ContainerStatus:
    """What is known of a container now; ``exit_code`` is None while it runs and where unknown.

    An exit by signal n is ``128 + n``. ``out_of_memory``: the kernel has killed processes of it for want of
    memory. One that runs all the same is half alive; whoever sees it ends it.
    """

    id: str
    running: bool
    pid: int | None
    exit_code: int | None
    out_of_memory: bool = False


@dataclass(frozen=True)
class Executed:
    """How a program ended that ran in a container: ``exit_code`` is None where it was killed, out of time.

    ``output`` is the first that it printed, at most 16 KiB.
    """

    exit_code: int | None
    output: bytes


class Driver(ABC):
    """Starts, sees, signals and removes the containers of one agent (one state folder).

    Its methods may be called from several threads, but not for one container at the same time; `execute`
    may, beside all others.
    """

    name: ClassVar[str]
    other_users: ClassVar[bool] = False
    """Do containers run as users other than the agent's own?"""

    def start(self, spec: ContainerSpec, listener_fd: int, ports: Mapping[str, int] | None = None) -> None:
        """Start a container whose descriptor 3 is the listening socket ``listener_fd``.

        ``ports`` are further ones by name; they follow from descriptor 4 on, in their order. ``LISTEN_FDS``
        has their number and ``LISTEN_FDNAMES`` their names, the first of which is ``socket``.
        Returns when its program runs (it may exit at once). After an error nothing of it is left.
        Raises `InvalidContainerError`, or another `DriverError`.
        """
        check_spec(spec)
        listeners = _listeners(spec, listener_fd, ports or {})
        with _as_driver_error(f"container {spec.id}: start"):
            self._start(spec, listeners)

    def observe(self) -> tuple[ContainerStatus, ...]:
        """Return every container that was started and not removed, by id, half-made ones too."""
        with _as_driver_error("containers"):
            return tuple(sorted(self._observe(), key=lambda status: status.id))

    def signal(self, container_id: str, signal_number: int) -> None:
        """Send a signal to the container's first process; no error where it is already gone.

        SIGKILL ends all of its processes.
        """
        check_id(container_id)
        with _as_driver_error(f"container {container_id}: signal"):
            self._signal(container_id, signal_number)

    def remove(self, container_id: str) -> None:
        """Unmount and delete what the driver made for a stopped or half-made container.

        May be repeated. Raises `ContainerRunningError` for a running one.
        """
        check_id(container_id)
        with _as_driver_error(f"container {container_id}: remove"):
            self._remove(container_id)

    def execute(self, container_id: str, args: Sequence[str], timeout_s: float) -> Executed:
        """Run a program in a running container, as its user, with its environment and paths.

        It has no descriptors but 0 to 2, and not the listening sockets. When it ends, or after
        ``timeout_s``, all that it started is killed. Raises `ContainerStoppedError` for one that does not
        run or is not known, or another `DriverError` where there is no such program.
        """
        check_id(container_id)
        where = f"container {container_id}"
        if not args or not args[0] or any("\0" in word for word in args):
            fix = "Name a program, and use no NUL."
            raise InvalidContainerError("nothing that can be run in it", where=where, fix=fix)
        with _as_driver_error(f"{where}: execute"):
            return self._execute(container_id, tuple(args), timeout_s)

    def balance(self, containers: Iterable[ContainerStatus]) -> None:  # noqa: B027 (most have nothing to do)
        """Let containers that use all they may have of the processor give way to the others.

        To be called now and then with what was observed; does nothing where the driver cannot.
        """

    @abstractmethod
    def _start(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None: ...

    @abstractmethod
    def _observe(self) -> tuple[ContainerStatus, ...]: ...

    @abstractmethod
    def _signal(self, container_id: str, signal_number: int) -> None: ...

    @abstractmethod
    def _remove(self, container_id: str) -> None: ...

    @abstractmethod
    def _execute(self, container_id: str, args: tuple[str, ...], timeout_s: float) -> Executed: ...


def stopped(container_id: str) -> ContainerStoppedError:
    """Return the error for a container in which nothing can run."""
    where = f"container {container_id}"
    return ContainerStoppedError("it does not run", where=where, fix="Look at why it ended, or try again.")


def check_id(container_id: str) -> None:
    """Raise `InvalidContainerError` unless ``container_id`` is safe as a file name and for runc."""
    if not CONTAINER_ID.fullmatch(container_id):
        raise InvalidContainerError(
            "not a container id", where="container", fix="Use 1 to 128 of a-z, 0-9, '_', '.' and '-'."
        )


def check_spec(spec: ContainerSpec) -> None:
    """Raise `InvalidContainerError` for the first rule that ``spec`` breaks."""
    check_id(spec.id)
    texts = [*spec.args, *spec.env.values(), spec.cwd, *(mount.target for mount in spec.mounts)]
    problems = {
        "it has no layers": not spec.layers,
        "it has no program to run": not spec.args or not spec.args[0],
        "a text holds a NUL": any("\0" in text for text in texts),
        "the name of a variable is not made of A-Z, a-z, 0-9 and '_'": not all(
            ENV_NAME.fullmatch(name) for name in spec.env
        ),
        "the working folder is not an absolute path": not _is_plain_path(spec.cwd),
        "a mount's target is not a plain absolute path below /": any(
            not _is_plain_path(mount.target) or mount.target == "/" for mount in spec.mounts
        ),
        "the user is not uid:gid in numbers": not USER.fullmatch(spec.user),
    }
    for problem, found in problems.items():
        if found:
            raise InvalidContainerError(
                problem, where=f"container {spec.id}", fix="Correct the image or the module's settings."
            )


def listening(names: Iterable[str]) -> dict[str, str]:
    """Return what the environment says of the descriptors handed over, as in sd_listen_fds(3).

    ``LISTEN_PID`` is the driver's to add: it knows which process it will be.
    """
    found = tuple(names)
    return {"LISTEN_FDS": str(len(found)), "LISTEN_FDNAMES": ":".join(found)}


def _listeners(spec: ContainerSpec, listener_fd: int, ports: Mapping[str, int]) -> dict[str, int]:
    wrong = SOCKET_NAME in ports or not all(LISTENER_NAME.fullmatch(name) for name in ports)
    if wrong or len(ports) >= LISTENERS_MAX:
        raise InvalidContainerError(
            "its ports have other names than they may, or are too many",
            where=f"container {spec.id}",
            fix=f"Name at most {LISTENERS_MAX - 1} ports, of a-z, 0-9 and '-', none of them {SOCKET_NAME}.",
        )
    return {SOCKET_NAME: listener_fd, **ports}


def _is_plain_path(path: str) -> bool:
    return path.startswith("/") and not path.startswith("//") and ".." not in PurePosixPath(path).parts


@contextmanager
def _as_driver_error(where: str) -> Iterator[None]:
    try:
        yield
    except DriverError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DriverError(reason, where=where, fix="See the agent's log.") from error
    except Exception as error:
        raise DriverError(
            f"unexpected {type(error).__name__}", where=where, fix="See the agent's log and report it."
        ) from error
