"""The driver `DockerDriver`: containers by Docker's or Podman's engine, over its API socket.

The engine pulls nothing: it is given the layers that the agent has verified. Containers have the walls
that runc's have; they cannot inherit descriptors, so they ask for their listening sockets
(`agent.endpoints.handover`). Only containers and images with this agent's label are seen or touched.
"""

import hashlib
import json
import os
import resource
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from agent.drivers.cgroups import cpu_group, killed_beside, swap_accounted
from agent.drivers.docker_config import (
    ID_LABEL,
    LAYERS_LABEL,
    LISTENERS_FOLDER,
    SCOPE_LABEL,
    container_body,
    engine_seccomp,
)
from agent.drivers.docker_engine import Engine
from agent.drivers.docker_exec import execute_in
from agent.drivers.docker_image import Picture, image_name, write_archive
from agent.drivers.docker_logs import Follower
from agent.drivers.giving_way import GivingWay
from agent.drivers.port import (
    ContainerRunningError,
    ContainerSpec,
    ContainerStatus,
    Driver,
    DriverError,
    DriverUnavailableError,
    Executed,
    Mount,
    stopped,
)
from agent.drivers.register import Register
from agent.drivers.seccomp import SECCOMP_ARCHITECTURES, seccomp_profile
from agent.drivers.staging import staged, unmount_staged
from agent.drivers.undoing import undone
from agent.endpoints.handover import Handover
from contract.oci import architecture_of

OWN: Final = "docker"  # the folder in a container's home that is this driver's own
LOG_LINK: Final = "log"
POSITION: Final = "log-position"
LAST_WORDS_S: Final = 5.0
LOOK_S: Final = 1.0
NOT_FOUND, CONFLICT = 404, 409


class DockerDriver(Driver):
    """Containers of the engine at ``socket`` that were started for ``state_dir``, and no others.

    Each answer of the engine may take ``timeout_s`` seconds.
    """

    name: ClassVar[str] = "docker"
    other_users: ClassVar[bool] = True

    def __init__(self, state_dir: Path, socket: Path, *, timeout_s: float = 60.0) -> None:
        self._state = state_dir.absolute()
        self._register = Register(self._state / "docker-homes")
        self._engine = Engine(socket, timeout_s=timeout_s)
        self._scope = hashlib.sha256(os.fsencode(self._state.resolve())).hexdigest()[:12]
        self._loading = threading.Lock()
        self._handovers: dict[str, Handover] = {}
        self._followers: dict[str, Follower] = {}
        self._heard_out: set[str] = set()
        self._starved: set[str] = set()
        self._giving_way = GivingWay()

    def _start(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None:
        if self._register.home(spec.id) is not None or self._inspected(spec.id) is not None:
            raise ContainerRunningError(
                "it exists already", where=f"container {spec.id}", fix="Remove it, or use another id."
            )
        own = spec.home.absolute() / OWN
        self._register.add(spec.id, spec.home)
        with undone(lambda: self._clear(spec.id), f"container {spec.id}"):
            own.mkdir(mode=0o700)
            hand = own / "hand"
            hand.mkdir()
            hand.chmod(0o755)
            (own / LOG_LINK).symlink_to(spec.log.absolute())
            image = self._load(spec.layers)
            self._handovers[spec.id] = Handover(hand, listeners)
            name = self._name(spec.id)
            where = f"container {spec.id}"
            with staged(own, spec.mounts) as mounts:
                body = self._body(replace(spec, mounts=mounts), image, own)
                self._engine.ask("POST", "/containers/create", body, query={"name": name}, where=where)
                self._engine.ask("POST", f"/containers/{name}/start", where=where)
        self._follow(spec.id, own)

    def _body(self, spec: ContainerSpec, image: str, own: Path) -> dict[str, object]:
        seccomp = json.dumps(engine_seccomp(seccomp_profile(_machine(), spec.grants.capabilities)))
        if self._is_podman():  # it takes the name of a file, where Docker takes what is in it
            (own / "seccomp.json").write_text(seccomp)
            seccomp = str(own / "seccomp.json")
        return container_body(
            spec,
            image,
            scope=self._scope,
            handover=Mount(own / "hand", LISTENERS_FOLDER, read_only=True),
            seccomp=seccomp,
            swap=swap_accounted(),
            processes=_most_processes(),
        )

    def _is_podman(self) -> bool:
        parts = self._engine.ask("GET", "/version").json().get("Components") or ()
        return any("Podman" in part.get("Name", "") for part in parts)

    def _load(self, layers: tuple[Path, ...]) -> str:
        """Return the name of an image of these layers, loaded where the engine has none."""
        name = image_name(layers)
        labels = {
            SCOPE_LABEL: self._scope,
            LAYERS_LABEL: json.dumps([str(layer.absolute()) for layer in layers]),
        }
        with self._loading:
            if self._engine.ask("GET", f"/images/{name}/json", but=(NOT_FOUND,)).fine:
                return name
            picture = Picture(name, _machine(), labels)
            answer = self._engine.send(
                "/images/load?quiet=1",
                "application/x-tar",
                lambda write: write_archive(picture, layers, write),
            )
            if not self._engine.ask("GET", f"/images/{name}/json", but=(NOT_FOUND,)).fine:
                raise DriverError(f"the engine took no image: {answer.reason()}", where="engine")
        return name

    def _observe(self) -> tuple[ContainerStatus, ...]:
        ids = {row["Labels"][ID_LABEL] for row in self._listed("/containers/json", all="1")}
        return tuple(self._status(container_id) for container_id in ids | self._register.homes().keys())

    def _status(self, container_id: str) -> ContainerStatus:
        state = (self._inspected(container_id) or {}).get("State", {})
        home = self._register.home(container_id)
        if state.get("Running"):
            if home is not None:
                self._follow(container_id, home / OWN)
            starved = self._is_starved(container_id, state["Pid"])
            return ContainerStatus(container_id, True, state["Pid"] or None, None, out_of_memory=starved)
        if home is not None and state:
            self._hear_out(container_id, home / OWN)
        code = state.get("ExitCode") if state.get("Status") in {"exited", "stopped"} else None
        starved = bool(state.get("OOMKilled")) or container_id in self._starved
        return ContainerStatus(container_id, False, None, code, out_of_memory=starved)

    def _is_starved(self, container_id: str, pid: int) -> bool:
        """Is a running container out of memory? Engines say so when it has ended, Podman 4.3 never."""
        if pid and killed_beside(pid):
            self._starved.add(container_id)
        return container_id in self._starved

    def _signal(self, container_id: str, signal_number: int) -> None:
        path = f"/containers/{self._name(container_id)}/kill"
        try:
            self._engine.ask("POST", path, query={"signal": str(signal_number)}, but=(NOT_FOUND, CONFLICT))
        except DriverError:
            # It may have ended by itself: that is no error, and engines say it in words of their own.
            found = self._inspected(container_id)
            if found is not None and found["State"].get("Running"):
                raise

    def _remove(self, container_id: str) -> None:
        found = self._inspected(container_id)
        if found is not None and found["State"].get("Running"):
            raise ContainerRunningError(
                "it runs", where=f"container {container_id}", fix="Stop it by a signal, then remove it."
            )
        if found is not None or self._register.home(container_id) is not None:
            self._clear(container_id)

    def _clear(self, container_id: str) -> None:
        if (handover := self._handovers.pop(container_id, None)) is not None:
            handover.close()
        name = self._name(container_id)
        self._engine.ask("DELETE", f"/containers/{name}", query={"v": "1"}, but=(NOT_FOUND,))
        if (follower := self._followers.pop(container_id, None)) is not None:
            follower.close()
        self._heard_out.discard(container_id)
        self._starved.discard(container_id)
        home = self._register.home(container_id)
        if home is not None:
            unmount_staged(home / OWN)
            shutil.rmtree(home / OWN, ignore_errors=True)
        self._register.drop(container_id)
        self._prune()

    def _prune(self) -> None:
        """Delete our images of which a layer is no longer on the device; what is in use the engine keeps."""
        for row in self._listed("/images/json"):
            layers = json.loads(row["Labels"].get(LAYERS_LABEL, "[]"))
            if not all(Path(layer).is_dir() for layer in layers):
                self._engine.ask("DELETE", f"/images/{row['Id']}", but=(NOT_FOUND, CONFLICT))

    def balance(self, containers: Iterable[ContainerStatus]) -> None:
        """See `Driver.balance`."""
        found = {one.id: cpu_group(one.pid) for one in containers if one.pid is not None}
        self._giving_way.look(time.monotonic(), {one: group for one, group in found.items() if group})

    def _execute(self, container_id: str, args: tuple[str, ...], timeout_s: float) -> Executed:
        found = self._inspected(container_id)
        if found is None or not found["State"].get("Running"):
            raise stopped(container_id)
        return execute_in(self._engine, self._name(container_id), args, timeout_s, mark=secrets.token_hex(8))

    def _follow(self, container_id: str, own: Path) -> None:
        follower = self._followers.get(container_id)
        if follower is None or not follower.follows:
            # Podman 4.3 leaves lines out of a stream that it follows, once the container has ended.
            each_s = LOOK_S if self._is_podman() else None
            self._followers[container_id] = self._copier(container_id, own, each_s)

    def _copier(self, container_id: str, own: Path, each_s: float | None) -> Follower:
        log, name = (own / LOG_LINK).readlink(), self._name(container_id)
        return Follower(self._engine, name, log, own / POSITION, each_s)

    def _hear_out(self, container_id: str, own: Path) -> None:
        """Wait until the last that an ended container printed is in its log; what takes longer goes on."""
        follower = self._followers.get(container_id)
        if follower is not None:
            follower.end(LAST_WORDS_S)
            if follower.follows:  # a second one beside it would copy its lines again
                return
        if container_id in self._heard_out or not (own / LOG_LINK).is_symlink():
            return
        # What it printed since the last look, or what an engine left out where it ended its stream too soon.
        self._followers[container_id] = self._copier(container_id, own, 0)
        self._followers[container_id].end(LAST_WORDS_S)
        if self._followers[container_id].done:
            self._heard_out.add(container_id)

    def _inspected(self, container_id: str) -> dict[str, Any] | None:
        answer = self._engine.ask("GET", f"/containers/{self._name(container_id)}/json", but=(NOT_FOUND,))
        if not answer.fine:
            return None
        found: dict[str, Any] = answer.json()
        return found if (found["Config"].get("Labels") or {}).get(SCOPE_LABEL) == self._scope else None

    def _listed(self, path: str, **query: str) -> list[dict[str, Any]]:
        mine: dict[str, object] = {"filters": {"label": [f"{SCOPE_LABEL}={self._scope}"]}}
        rows: list[dict[str, Any]] = self._engine.ask("GET", path, query=mine | query).json()
        return [row for row in rows or () if (row.get("Labels") or {}).get(SCOPE_LABEL) == self._scope]

    def _name(self, container_id: str) -> str:
        return f"headland-{self._scope}-{container_id}"


def _most_processes() -> int:
    """Return how many processes a user may be allowed: Podman's service has lowered its own limit to this."""
    most = int(Path("/proc/sys/kernel/pid_max").read_text())
    own = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return most if own == resource.RLIM_INFINITY else min(most, own)


def _machine() -> str:
    machine = architecture_of(os.uname().machine)
    if machine not in SECCOMP_ARCHITECTURES:
        raise DriverUnavailableError(
            f"no list of system calls for {machine}", where="driver", fix="Use the process driver."
        )
    return machine
