"""Records of containers and of the agent's memory on disk, durable before what they tell of.

``containers/{id}/record.json`` is written before a container starts, so a container that runs is
always known; markers beside it say that it was started, is ready, or is draining.
"""

import logging
import os
import shutil
import uuid
from pathlib import Path
from typing import Final

import msgspec

from agent import tmpfs
from agent.container_logs.rotation import keep
from agent.deleting import delete
from agent.durable import sync_folder, write_durably
from agent.reconcile.state import Failure, Memory, Stop
from contract.desired import Desired, Module
from contract.encoding import decode, encode

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Everybody may make files, and delete their own: the agent's socket among them stays the agent's.
RUN_OPTIONS: Final = "size=1m,nr_inodes=256,mode=1777,nosuid,nodev,noexec"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a container was started for, in which life of the machine, and which socket it serves.

    ``number`` is higher than those of the containers that were there at its start: a time that the clock says
    puts them in no order.
    """

    id: str
    module: Module
    boot_id: str
    listener: str = ""
    number: int = 0


class _FailureRow(msgspec.Struct, frozen=True, kw_only=True):
    generation: int
    reason: str


class _StopRow(msgspec.Struct, frozen=True, kw_only=True):
    spec: str
    reason: str


class _MemoryFile(msgspec.Struct, frozen=True, kw_only=True):
    committed: dict[str, Module] = {}
    failed: dict[str, _FailureRow] = {}
    finished: dict[str, str] = {}
    stopped: dict[str, _StopRow] = {}


class ContainerRecords:
    """The folder of containers.

    With ``others`` their programs run as users other than the agent's own: each gets a run folder in which it
    may write, where the agent is root.
    """

    def __init__(self, folder: Path, *, others: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._others = folder, others and os.geteuid() == 0
        self._kept_logs = folder.parent / "logs"
        self._boot_id = BOOT_ID.read_text().strip()

    def create(self, module: Module, listener: str) -> Record:
        """Make a home and a record for a new container of ``module``."""
        record = Record(
            id=f"{module.name}-{uuid.uuid4().hex[:8]}",
            module=module,
            boot_id=self._boot_id,
            listener=listener,
            number=1 + max((each.number for each in self.all()), default=0),
        )
        self.run_folder(record.id).mkdir(parents=True)
        self.driver_folder(record.id).mkdir()
        write_durably(self.home(record.id) / "record.json", encode(record))
        sync_folder(self._folder)
        if self._others:
            self._open_to_others(record.id)
        return record

    def _open_to_others(self, container_id: str) -> None:
        """Let the container's user write into its run folder: in memory, and little, so it fills no disk."""
        folder = self.run_folder(container_id)
        if not tmpfs.mount(folder, "headland-run", RUN_OPTIONS):
            log.warning("container %s: its user may not write to /run/headland: no tmpfs", container_id)

    def all(self) -> tuple[Record, ...]:
        """Return the records; a home that was never finished is cleared away."""
        records = []
        for home in sorted(self._folder.iterdir()):
            try:
                records.append(decode((home / "record.json").read_bytes(), Record, what="container record"))
            except FileNotFoundError:
                shutil.rmtree(home, ignore_errors=True)
        return tuple(records)

    def get(self, container_id: str) -> Record:
        """Return the record of a container that is known."""
        return decode((self.home(container_id) / "record.json").read_bytes(), Record, what="container record")

    def mark(self, container_id: str, what: str) -> None:
        """Remember durably that the container was ``started``, is ``ready`` or ``draining``."""
        write_durably(self.home(container_id) / what, b"")

    def marked(self, container_id: str, what: str) -> bool:
        """Was it marked so?"""
        return (self.home(container_id) / what).exists()

    def of_this_boot(self, record: Record) -> bool:
        """Was it started since the machine last booted?"""
        return record.boot_id == self._boot_id

    def remove(self, container_id: str) -> None:
        """Clear the container's home away; the last that it printed is kept until its successor's end."""
        tmpfs.unmount(self.run_folder(container_id))
        keep(self.home(container_id), self._kept_logs, container_id.rpartition("-")[0])
        delete(self.home(container_id))

    def home(self, container_id: str) -> Path:
        """All that belongs to one container."""
        return self._folder / container_id

    def run_folder(self, container_id: str) -> Path:
        """What is mounted into the container at ``/run/headland``."""
        return self.home(container_id) / "run"

    def driver_folder(self, container_id: str) -> Path:
        """The driver's own folder: bundle, root file system, process id."""
        return self.home(container_id) / "driver"

    def log_file(self, container_id: str) -> Path:
        """What the container printed."""
        return self.home(container_id) / "log"


class AgentRecords:
    """The desired document in force, and the memory of what passed and what failed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._desired_file = folder / "desired.json"
        self._memory_file = folder / "memory.json"

    def load_desired(self) -> Desired | None:
        """Return the document accepted last, if there is one. It was verified when it was saved."""
        try:
            return decode(self._desired_file.read_bytes(), Desired, what="desired document")
        except FileNotFoundError:
            return None

    def save_desired(self, desired: Desired) -> None:
        """Persist an accepted document: from here on its generation is the floor."""
        write_durably(self._desired_file, encode(desired))

    def load_memory(self) -> Memory:
        """Return what is remembered; empty on a new device."""
        try:
            file = decode(self._memory_file.read_bytes(), _MemoryFile, what="memory")
        except FileNotFoundError:
            return Memory()
        failed = {name: Failure(row.generation, row.reason) for name, row in file.failed.items()}
        stopped = {name: Stop(row.spec, row.reason) for name, row in file.stopped.items()}
        return Memory(committed=file.committed, failed=failed, finished=file.finished, stopped=stopped)

    def save_memory(self, memory: Memory) -> None:
        """Persist what is remembered."""
        failed = {
            name: _FailureRow(generation=failure.generation, reason=failure.reason)
            for name, failure in memory.failed.items()
        }
        stopped = {
            name: _StopRow(spec=stop.spec, reason=stop.reason) for name, stop in memory.stopped.items()
        }
        file = _MemoryFile(
            committed=dict(memory.committed),
            failed=failed,
            finished=dict(memory.finished),
            stopped=stopped,
        )
        write_durably(self._memory_file, encode(file))
