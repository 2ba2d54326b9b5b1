"""`headland-agent apply`: what a hub may do, a file may do, and no more."""

import os
import random
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.endpoints.control import MAX_DOCUMENT_BYTES, SOCKET, hand_over
from agent.errors import ControlUnavailableError, StateWriteError
from agent.identity import store
from agent.lock import lock_state
from agent.policy.file import PolicyFile
from agent.reconcile.records import AgentRecords
from agent.trust.desk import Desk, open_floor
from cloud_hub.pki.signer import DesiredSigner
from contract.desired import Desired
from simulators.demo.stage import Daemon
from tests.disks import small_disk
from tests.machine.device import NOW, Enrolled


def held(device: Enrolled) -> int:
    desired = AgentRecords(device.state / "desired").load_desired()
    return desired.generation if desired else 0


def refused_documents(device: Enrolled) -> dict[str, bytes]:
    """Return by its code a document that breaks one rule; generation 5 is held."""
    forged = DesiredSigner(Ed25519PrivateKey.generate())
    other = Enrolled(device.folder / "other", signer=forged)
    return {
        "bad-signature": other.document(6),
        "wrong-device": device.document(6, device="cam-2"),
        "wrong-workspace": device.document(6, workspace="lab"),
        "old-generation": device.document(4),
        "expired": device.document(6, not_after=NOW - timedelta(seconds=1)),
        "malformed": b"{}",
    }


def test_without_a_daemon_it_is_in_force_for_the_next_one(device: Enrolled) -> None:
    done = device.run("apply", device.file(device.document(5)))
    assert done.stdout == "generation 5 (r:5) is in force; the next `headland-agent run` acts on it\n"
    assert (done.returncode, held(device)) == (0, 5)
    code, answer = device.ask("apply", device.file(device.document(7)))
    assert (code, held(device)) == (0, 7)
    assert answer == {"generation": 7, "rollout": "r:7", "accepted": True, "running": False}
    daemon = device.daemon()
    daemon.start("driver")
    daemon.stop()
    assert held(device) == 7


def test_a_running_daemon_takes_it(device: Enrolled, daemon: Daemon) -> None:
    code, answer = device.ask("apply", device.file(device.document(5)))
    assert (code, answer["accepted"], answer["running"]) == (0, True, True)
    daemon.wait_for("accepted generation 5 (r:5)")
    assert held(device) == 5
    assert device.ask("status")[1]["generation"] == 5
    assert stat.S_IMODE((device.state / SOCKET).stat().st_mode) == 0o600


@pytest.mark.parametrize("running", [False, True], ids=["alone", "daemon"])
def test_each_rule_has_its_code_and_nothing_changes(device: Enrolled, running: bool) -> None:
    assert device.run("apply", device.file(device.document(5))).returncode == 0
    before = (device.state / "desired/desired.json").read_bytes()
    daemon = device.daemon()
    if running:
        daemon.start("driver")
    for code, envelope in refused_documents(device).items():
        done, answer = device.ask("apply", device.file(envelope))
        assert (done, answer["error"]) == (1, code)
        assert "document.json" in answer["detail"]
    again = device.ask("apply", device.file(device.document(5)))
    assert again == (0, {"generation": 5, "rollout": "r:5", "accepted": False, "running": running})
    assert (device.state / "desired/desired.json").read_bytes() == before
    assert device.run("apply", device.file(device.document(6))).returncode == 0, "a good one after them"
    daemon.stop()


def test_a_refused_file_is_not_reported_as_the_hub_s(device: Enrolled, daemon: Daemon) -> None:
    assert device.run("apply", device.file(device.document(6, device="cam-2"))).returncode == 1
    assert "refused a document from a file" in daemon.log
    assert "refused a desired document" not in daemon.log


def test_errors_of_the_file_and_of_the_device_say_so(device: Enrolled, folder: Path) -> None:
    assert device.ask("apply", folder / "gone.json")[1]["error"] == "document-unreadable"
    assert device.ask("apply", folder)[1]["error"] == "document-unreadable"
    large = device.file(b" " * (MAX_DOCUMENT_BYTES + 1))
    assert device.ask("apply", large)[1]["error"] == "document-unreadable"
    whole = device.file(device.document(5))
    (device.state / "identity/device.json").unlink()
    assert device.ask("apply", whole)[1]["error"] == "not-enrolled"


def test_an_agent_that_gives_no_answer_is_said_so(device: Enrolled) -> None:
    with pytest.raises(ControlUnavailableError):
        hand_over(device.state, device.document(5))


def test_an_agent_that_begins_while_a_document_is_written_waits(device: Enrolled) -> None:
    lock = lock_state(device.state)
    daemon = device.daemon()
    daemon.begin()
    os.close(lock)
    daemon.wait_for("driver")
    daemon.stop()


def desk_of(device: Enrolled, records: AgentRecords) -> Desk:
    identity = store.load(device.state / "identity")
    floor = open_floor(device.state / "desired", identity, records.load_desired())
    return Desk(identity.facts, records.load_desired, records.save_desired, floor, PolicyFile(None).refuses)


def test_of_many_at_once_the_highest_generation_stays(device: Enrolled) -> None:
    records = AgentRecords(device.state / "desired")
    desk = desk_of(device, records)
    documents = [device.document(generation) for generation in range(1, 31)]
    random.Random(1).shuffle(documents)
    with ThreadPoolExecutor(8) as pool:
        accepted = [v.generation for v in pool.map(desk.offer, documents) if isinstance(v, Desired)]
    assert held(device) == 30
    assert 30 in accepted


@pytest.mark.system
def test_a_full_disk_changes_nothing_and_may_be_tried_again(device: Enrolled) -> None:
    desired = device.state / "desired"
    with small_disk(desired, "64k"):
        records = AgentRecords(desired)
        desk = desk_of(device, records)
        assert isinstance(desk.offer(device.document(5)), Desired)
        filler = desired / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(1 << 20))
        with pytest.raises(StateWriteError):
            desk.offer(device.document(6))
        assert held(device) == 5
        filler.unlink()
        assert isinstance(desk.offer(device.document(6)), Desired)
        assert held(device) == 6


def test_negative_control_the_answers_come_from_the_rule(device: Enrolled) -> None:
    """The same bytes under a device that trusts their key are accepted."""
    other = Enrolled(device.folder / "other")
    envelope = other.document(6)
    assert device.ask("apply", device.file(envelope))[1]["error"] == "bad-signature"
    assert other.ask("apply", other.file(envelope))[1]["accepted"]
    assert msgspec.json.decode(envelope)["payload"]
