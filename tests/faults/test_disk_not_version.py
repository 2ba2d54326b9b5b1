"""What the sweeps of FAULTS 9 and 10 found, each alone: a disk that fails is not the version's fault."""

import errno
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.drivers.fake import Behaviour
from agent.drivers.port import ContainerSpec
from agent.endpoints.module_api import Hooks, ModuleApi
from agent.endpoints.unix_client import UnixHttpConnection
from agent.errors import StateWriteError
from agent.outbox.sqlite import SqliteOutbox
from agent.reconcile.executor import MAX_FAILED_STARTS
from agent.reconcile.loop import Reconciler
from agent.reconcile.probes import Asked, Probes
from agent.reconcile.records import AgentRecords
from agent.trust.acceptance import ALREADY_HELD, Refused
from agent.trust.again import Again
from agent.trust.desk import Desk
from contract.agent_api import READY_PATH
from contract.desired import Desired
from contract.lifecycle import Probe
from contract.messages import Reported
from tests.faults.delivery import Delivery

TIMEOUT_S = 20.0


@pytest.fixture
def device() -> Iterator[Delivery]:
    """A device that holds a document with one module, whose image is there."""
    device = Delivery()
    device.issue({"a": 1})
    device.offer(1)
    device.round()
    device.pulls_end()
    yield device
    device.machine.behaviour = lambda _: Behaviour()
    forgive(device)
    device.teardown()


def forgive(device: Delivery) -> None:
    """Forget starts that failed: they may be tried again."""
    device.starts.clear()
    device.found.clear()


def full(_: ContainerSpec) -> Behaviour:
    """Start nothing: the disk is full."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_start_that_the_disk_does_not_take_is_tried_as_often_as_needed(device: Delivery) -> None:
    device.machine.behaviour = full
    assert not device.round(), "what failed is not tried again at once"
    for _ in range(6 * MAX_FAILED_STARTS):
        device.now += 20
        device.round()
    assert device.executor.memory.failed == {}
    assert device.report is not None
    (module,) = device.report.modules
    assert (module.state, "No space left" in module.reason) == ("starting", True)


def test_negative_control_a_version_that_cannot_be_started_fails_after_some_tries(device: Delivery) -> None:
    device.machine.behaviour = lambda _: Behaviour(refuses="it does not want to")
    for _ in range(2 * MAX_FAILED_STARTS):
        device.now += 20
        device.round()
    assert "it does not want to" in device.executor.memory.failed["a"].reason
    device.issue({"a": 2})


def test_a_socket_that_cannot_be_made_stops_no_round(device: Delivery) -> None:
    device.round()
    device.restart()
    (name,) = device.machine.containers
    socket = device.device.containers.run_folder(name) / "agent.sock"
    socket.unlink()
    socket.mkdir()
    (socket / "in the way").touch()
    device.report = None
    device.now += 2
    device.round()
    assert device.report is not None
    (socket / "in the way").unlink()
    socket.rmdir()
    device.round()
    assert socket.is_socket()


def test_a_file_that_cannot_be_read_does_not_silence_the_device(device: Delivery) -> None:
    device.round()
    (name,) = device.machine.containers
    home = device.device.containers.home(name)
    (home / "record.json").rename(home / "kept")
    (home / "record.json").mkdir()  # reading it is an error, as on a sector that is lost
    with pytest.raises(IsADirectoryError):
        device.reconciler.round()
    reports: list[Reported] = []
    enough = threading.Event()

    def note(reported: Reported) -> None:
        reports.append(reported)
        if len(reports) >= 3:
            enough.set()

    loop = Reconciler(
        device.executor, device.device.records, device.outbox,
        interval_s=0.01, report_interval_s=0.01, report=note,
    )  # fmt: skip
    (home / "record.json").rmdir()
    (home / "kept").rename(home / "record.json")
    loop.round()
    (home / "record.json").rename(home / "kept")
    (home / "record.json").mkdir()
    loop.start()
    assert enough.wait(TIMEOUT_S)
    loop.stop()
    assert [each.converged for each in reports[1:]] == [False] * len(reports[1:])
    (home / "record.json").rmdir()
    (home / "kept").rename(home / "record.json")


def test_a_probe_whose_answer_is_lost_is_asked_again(tmp_path: Path) -> None:
    passed, tries = threading.Event(), []

    def note(container: str) -> None:
        tries.append(container)
        if len(tries) == 1:
            raise OSError(errno.EIO, "Input/output error")
        passed.set()

    (tmp_path / "there").touch()
    now = iter(range(0, 10_000, 5))
    probes = Probes(note, lambda: None, lambda *_: False, monotonic=lambda: float(next(now)))
    probes.watch({"c": Asked("ready", Probe(file="there", period_s=1), tmp_path, tmp_path)})
    assert passed.wait(TIMEOUT_S)
    probes.close()


def test_a_module_is_told_that_its_word_was_not_kept(folder: Path) -> None:
    def lose(_: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    outbox = SqliteOutbox(folder / "o.db", max_bytes=1 << 20)
    hooks = Hooks(outbox=outbox, ready=lose, defer=lambda *_: 0.0, stored=lambda: None)
    api = ModuleApi("a-1", folder / "agent.sock", hooks)
    line = UnixHttpConnection(folder / "agent.sock")
    line.request("POST", READY_PATH, b"{}")
    answer = line.getresponse()
    assert (answer.status, b"state-write-failed" in answer.read()) == (503, True)
    line.close()
    api.close()
    outbox.close()


class HalfRecords(AgentRecords):
    """Documents that are there to be read although their write failed, as often as is said."""

    failures = 0

    def save_desired(self, desired: Desired) -> None:
        """Write, and fail after it: the folder could not be synced."""
        super().save_desired(desired)
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, "Input/output error")


def test_a_document_that_was_written_by_halves_is_written_again(device: Delivery, tmp_path: Path) -> None:
    records, acted_on = HalfRecords(tmp_path), []

    def accept(desired: Desired) -> None:
        records.save_desired(desired)
        acted_on.append(desired.generation)

    desk = Desk(device.facts, records.load_desired, accept, device.time_floor(), lambda _: None)
    records.failures = 2
    for _ in range(2):
        with pytest.raises(StateWriteError):
            desk.offer(device.issued[0])
        assert acted_on == []
    verdict = desk.offer(device.issued[0])
    assert isinstance(verdict, Refused)
    assert (verdict.code, acted_on) == (ALREADY_HELD, [1]), "in force is what somebody acts on"
    assert datetime.now(UTC) + timedelta(days=1) < records.load_desired().not_after  # type: ignore[union-attr]


def test_a_document_that_could_not_be_written_is_offered_again_until_it_is() -> None:
    offered, through = [], threading.Event()

    def offer(envelope: bytes) -> None:
        offered.append(envelope)
        if envelope == b"old" or offered.count(b"new") < 3:
            raise StateWriteError("no room")
        through.set()

    again = Again(offer, wait_s=0.01)
    again.offer(b"old")
    again.offer(b"new")
    assert through.wait(TIMEOUT_S)
    again.close()
    assert offered.count(b"new") == 3
    again.offer(b"old")  # too late: nothing is offered again
    assert offered[-1] == b"old"


def test_negative_control_a_document_that_is_refused_is_not_offered_again() -> None:
    offered: list[bytes] = []
    again = Again(offered.append, wait_s=0.0)
    again.offer(b"refused")
    again.close()
    assert offered == [b"refused"]
