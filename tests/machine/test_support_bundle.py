"""The support bundle has what helps, and none of the secrets that were put everywhere around it."""

import base64
import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.cli import main
from agent.outbox.sqlite import SqliteOutbox
from agent.reconcile.records import AgentRecords, ContainerRecords
from agent.settings import Settings
from agent.support import facts
from contract.desired import ImageRef, Module
from simulators.demo.stage import Daemon
from tests.machine.device import Enrolled

CANARY = "canary-3f9c2b7d41"
IMAGE = ImageRef(repository="w/m", digest="sha256:" + "0" * 64, name="m:1")
MODULE = Module(name="m", image=IMAGE, env={"PASSWORD": CANARY})


def forms(secret: bytes) -> list[bytes]:
    """Return a secret as it stands, in hex, and in base64 at each of three places in a longer text."""
    found = [secret, secret.hex().encode()]
    for before in range(3):
        text = base64.b64encode(b"x" * before + secret)
        found.append(text[-(-before * 8 // 6) : len(text) // 4 * 4 - 4])
    return found


def hits(archive: bytes, secrets: list[bytes]) -> dict[str, int]:
    """Return by member how many forms of secrets are in an archive of files."""
    found: dict[str, int] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            file = tar.extractfile(member)
            data = (file.read() if file else b"") + repr(member.get_info()).encode()
            count = sum(form in data for secret in secrets for form in forms(secret))
            if count:
                found[member.name] = count
    return found


def naive(state: Path) -> bytes:
    """Return what a `tar` of the state folder would be."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path in sorted(state.rglob("*")):
            if path.is_file():
                tar.add(path, str(path.relative_to(state)))
    return data.getvalue()


@pytest.fixture
def secrets(device: Enrolled, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Put secrets wherever a device has some; return them."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{CANARY}@proxy:3128")
    device.hub = f"https://me:{CANARY}@localhost:9"
    key = (device.enrol().folder / "key.pem").read_bytes()
    assert device.run("apply", device.file(device.document(5, MODULE))).returncode == 0
    records = ContainerRecords(device.state / "containers")
    gone, alive = records.create(MODULE, "listener"), records.create(MODULE, "listener")
    for record in (gone, alive):
        (records.home(record.id) / "log").write_text(f"{CANARY}\n")
    records.remove(gone.id)
    memory = AgentRecords(device.state / "desired").load_memory()
    AgentRecords(device.state / "desired").save_memory(type(memory)(committed={"m": MODULE}))
    outbox = SqliteOutbox(device.state / "outbox.db", max_bytes=1 << 20)
    outbox.put("inference", "p", 1, (1,), (msgspec.Raw(json.dumps({"token": CANARY}).encode()),))
    outbox.close()
    return [CANARY.encode(), b"".join(key.splitlines()[1:2])]


def bundle(device: Enrolled, name: str, *words: str) -> tuple[bytes, dict[str, Any]]:
    path = device.folder / name
    code, answer = device.ask("support-bundle", "--file", path, *words)
    assert code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as tar:
        members = {m.name.removeprefix("headland-agent/"): tar.extractfile(m) for m in tar}
        read = {name: file.read() for name, file in members.items() if file}
    assert sorted(read) == sorted(answer["members"])
    told = {n.removesuffix(".json"): json.loads(data) for n, data in read.items() if n.endswith(".json")}
    return path.read_bytes(), told


def test_it_has_no_secret_and_a_plain_tar_has_them(device: Enrolled, secrets: list[bytes]) -> None:
    data, told = bundle(device, "b.tar.gz")
    assert hits(data, secrets) == {}
    assert told["desired"]["modules"] == [{"name": "m", "image": {"name": "m:1", "digest": IMAGE.digest}}]
    assert len(told["containers"]) == 1
    assert told["identity"]["hub"] == "localhost:9"

    found = hits(naive(device.state), secrets)
    for name in ("desired/desired.json", "desired/memory.json", "identity/key.pem", "identity/device.json",
                 "logs/m.log", "outbox.db"):  # fmt: skip
        assert name in found, "the control did not find it either"
    assert any(name.endswith("/record.json") for name in found)


def test_with_logs_what_modules_printed_is_in_it_and_nothing_else(
    device: Enrolled, secrets: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = bundle(device, "b.tar.gz", "--with-logs")
    assert set(hits(data, secrets)) == {"headland-agent/logs/m.txt"}
    other = device.folder / "c.tar.gz"
    shared = ["support-bundle", "--state-dir", str(device.state), "--driver", "process"]
    assert main([*shared, "--file", str(other), "--with-logs"]) == 0
    assert "read logs/ before you pass it on" in capsys.readouterr().out


def test_beside_a_daemon_it_has_what_was_reported_last(device: Enrolled, daemon: Daemon) -> None:
    assert device.run("apply", device.file(device.document(5, MODULE))).returncode == 0
    daemon.wait_for("pulling m:1")
    data, told = bundle(device, "b.tar.gz")
    assert told["reported"]["generation"] == 5
    assert [module["name"] for module in told["reported"]["modules"]] == ["m"]
    assert told["about"]["agent"]
    assert {one["name"]: one["verdict"] for one in told["check"]}["daemon"] == "ok"
    assert hits(data, [CANARY.encode()]) == {}


def test_broken_parts_do_not_stop_the_others(device: Enrolled) -> None:
    (device.state / "desired").mkdir()
    (device.state / "desired/desired.json").write_text(f'{{"generation": "{CANARY}"}}')
    (device.state / "identity/cert.pem").write_text(CANARY)
    data, told = bundle(device, "b.tar.gz")
    assert told["desired"] == {"error": "contract-violation"}
    assert told["identity"] == {"error": "ValueError"}
    assert told["reported"] == {"error": "control-unavailable"}
    assert told["settings"]["driver"] == "process"
    assert hits(data, [CANARY.encode()]) == {}


def test_a_bundle_is_whole_or_not_there(device: Enrolled, folder: Path) -> None:
    there = folder / "there.tar.gz"
    there.write_text("mine")
    code, answer = device.ask("support-bundle", "--file", there)
    assert (code, answer["error"], there.read_text()) == (1, "bundle-failed", "mine")
    code, answer = device.ask("support-bundle", "--file", folder / "gone/b.tar.gz")
    assert (code, answer["error"]) == (1, "bundle-failed")
    assert sorted(path.name for path in folder.iterdir()) == ["d", "there.tar.gz"]


def test_every_setting_is_told_by_its_name() -> None:
    """A setting that is added must be thought about: it is secret, or it is here."""
    told = facts.settings_facts(Settings())
    assert json.loads(json.dumps(told)) == json.loads(
        json.dumps(msgspec.to_builtins(Settings(), enc_hook=str))
    )


def test_negative_control_the_forms_of_a_secret_are_found() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for number, text in enumerate(
            (
                CANARY,
                CANARY.encode().hex(),
                *(base64.b64encode(f"{'y' * n}{CANARY}zz".encode()).decode() for n in range(3)),
            )
        ):
            member = tarfile.TarInfo(str(number))
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        named = tarfile.TarInfo(CANARY)
        tar.addfile(named)
    assert set(hits(data.getvalue(), [CANARY.encode()])) == {"0", "1", "2", "3", "4", CANARY}
    assert os.sep not in CANARY
