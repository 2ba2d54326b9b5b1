"""Secrets on a device: sealed on disk under its own key, in memory for one container, fetched when lost."""

import json
import os
import ssl
import stat
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest

from agent import tmpfs
from agent.errors import AgentError
from agent.reconcile.backoff import LONGEST_S, Backoff
from agent.reconcile.giving import Giving, SecretPlaces
from agent.reconcile.state import spec_digest
from agent.secrets import memory as in_memory
from agent.secrets.errors import NoMemoryFolderError, SecretGoneError, SecretUnavailableError
from agent.secrets.memory import SecretMemory
from agent.secrets.sealed import SealedSecrets, pem_body
from agent.secrets.source import HubSecrets
from contract.desired import ImageRef, Module
from contract.secrets import SecretRef
from tests.agent.test_pulls import Clock, until
from tests.machine.device import Enrolled

VALUE = b"canary-6b1e\nsecond line"
DB = SecretRef(file="", name="db", version=1)
KEY = SecretRef(file="", name="key", version=3)
MODULE = Module(
    name="m",
    image=ImageRef(repository="w/m", digest="sha256:" + "1" * 64, name="m:1"),
    secrets=(
        SecretRef(file="password", name="db", version=1),
        SecretRef(file="partner.key", name="key", version=3),
    ),
)


@pytest.fixture
def device(tmp_path: Path) -> Enrolled:
    return Enrolled(tmp_path / "d")


def sealed_of(device: Enrolled) -> SealedSecrets:
    return SealedSecrets(device.state / "secrets", device.state / "identity/key.pem", "cam-1", "shop")


class MemorySource:
    """Values by name and version; or an error for all."""

    def __init__(self) -> None:
        self.values = {"db:1": VALUE, "key:3": b"k" * 65536}
        self.error: AgentError | None = None
        self.asked: list[str] = []

    def fetch(self, ref: SecretRef) -> bytes:
        self.asked.append(ref.label)
        if self.error is not None:
            raise self.error
        return self.values[ref.label]


def test_what_is_sealed_opens_with_the_device_s_key_and_in_its_place_alone(device: Enrolled) -> None:
    sealed = sealed_of(device)
    assert sealed.get(DB) is None
    sealed.put(DB, VALUE)
    assert sealed.get(DB) == VALUE
    file = sealed.folder / "db.1"
    assert VALUE not in file.read_bytes()
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(sealed.folder.stat().st_mode)) == (0o600, 0o700)
    # Moved to another's place, of another device, or damaged in any byte, it does not open.
    (sealed.folder / "key.3").write_bytes(file.read_bytes())
    assert sealed.get(KEY) is None
    assert SealedSecrets(sealed.folder, sealed.key_file, "cam-2", "shop").get(DB) is None
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert sealed.get(DB) is None, at
    for length in (0, 5, 12, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert sealed.get(DB) is None
    file.write_bytes(whole)
    assert sealed.get(DB) == VALUE
    device.enrol()
    assert sealed.get(DB) is None, "the device has another key now"


def test_each_seal_is_another_and_only_what_is_needed_is_kept(device: Enrolled) -> None:
    sealed = sealed_of(device)
    sealed.put(DB, VALUE)
    first = (sealed.folder / "db.1").read_bytes()
    sealed.put(DB, VALUE)
    assert (sealed.folder / "db.1").read_bytes() != first
    sealed.put(KEY, VALUE)
    (sealed.folder / ".key.3.new").write_bytes(b"half")
    assert sealed.keep([DB]) == [".key.3.new", "key.3"]
    assert [path.name for path in sealed.folder.iterdir()] == ["db.1"]


def test_a_key_file_that_is_no_key_opens_nothing() -> None:
    for text in ("", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "abc"):
        with pytest.raises(ValueError, match="PEM"):
            pem_body(text)


@pytest.fixture
def memory(device: Enrolled) -> Iterator[SecretMemory]:
    memory = SecretMemory(device.state)
    yield memory
    memory.keep([])


def test_files_in_memory_are_the_user_s_to_read_and_gone_with_the_container(
    device: Enrolled, memory: SecretMemory
) -> None:
    folder = memory.give("m-1", {"password": VALUE, "b": b""}, (1234, 2345))
    assert in_memory._is_in_memory(folder)
    assert (folder / "password").read_bytes() == VALUE
    of_folder, of_file = (0o500, 0o400) if os.geteuid() == 0 else (0o555, 0o444)
    for path, mode in ((folder, of_folder), (folder / "password", of_file), (folder.parent, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    owner = (1234, 2345) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    assert ((folder / "b").stat().st_uid, (folder / "b").stat().st_gid) == owner
    other = memory.give("m-2", {"password": b"x"}, (1, 1))
    # Another agent's of another state folder are not touched; of the next agent on this one, they are known.
    SecretMemory(device.folder).keep([])
    SecretMemory(device.state).keep(["m-1", "m-9"])
    assert folder.exists()
    assert not other.exists()
    memory.give("m-1", {"password": b"again"}, (1234, 2345))
    assert [path.name for path in folder.iterdir()] == ["password"]
    memory.take_back("m-1")
    memory.keep([])
    assert not folder.parent.exists()


def test_without_a_right_to_mount_it_is_a_folder_of_the_system_in_memory(
    device: Enrolled, memory: SecretMemory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tmpfs, "ENVIRONMENT", {"PATH": "/nowhere"})
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # on a disk: passed over, unless the tests are not
    folder = memory.give("m-1", {"password": VALUE}, (0, 0))
    if not in_memory._is_in_memory(tmp_path):
        assert folder.is_relative_to("/dev/shm")
    memory.keep([])
    assert not folder.exists()
    # Where another user's folder stands in its place, or none is in memory, nothing is written.
    place = folder.parent
    place.mkdir()
    place.chmod(0o755)
    try:
        with pytest.raises(NoMemoryFolderError):
            memory.give("m-1", {"password": VALUE}, (0, 0))
        assert list(place.iterdir()) == []
    finally:
        place.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_an_agent_without_root_uses_the_system_s_memory_and_no_folder_of_another(tmp_path: Path) -> None:
    place = in_memory.SecretMemory(tmp_path)._name
    theirs = Path("/dev/shm", place)

    def as_nobody() -> dict[str, object]:
        folder = SecretMemory(tmp_path).give("m-1", {"password": VALUE}, (0, 0))
        try:
            facts = [path.stat() for path in (folder, folder / "password", folder.parent)]
            return {
                "value": (folder / "password").read_bytes() == VALUE,
                "place": str(folder.parent),
                "modes": [stat.S_IMODE(one.st_mode) for one in facts],
                "users": [one.st_uid for one in facts],
            }
        finally:
            SecretMemory(tmp_path).keep([])

    assert in_child(as_nobody) == {
        "value": True, "place": str(theirs), "modes": [0o555, 0o444, 0o700], "users": [NOBODY] * 3,
    }  # fmt: skip
    assert not theirs.exists()
    # Root's folder stands where nobody's would: nothing is written into it.
    theirs.mkdir(mode=0o777)
    theirs.chmod(0o777)
    try:
        assert in_child(as_nobody) == {"error": "NoMemoryFolderError"}
        assert list(theirs.iterdir()) == []
    finally:
        theirs.rmdir()


NOBODY = 65534


def in_child(what: Callable[[], dict[str, object]]) -> dict[str, object]:
    """Return what a function says in a process of the user nobody, or the kind of its error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.environ.pop("XDG_RUNTIME_DIR", None)
            said = what()
        except BaseException as error:
            said = {"error": type(error).__name__}
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        found: dict[str, object] = json.loads(answer.read())
    os.waitpid(child, 0)
    return found


class Rig:
    """One device's secrets with a clock set by hand."""

    def __init__(self, device: Enrolled) -> None:
        self.clock, self.source = Clock(), MemorySource()
        self.sealed = sealed_of(device)
        self.memory = SecretMemory(device.state)
        self.backoff = Backoff(self.clock)
        self.giving = self.again()

    def again(self) -> Giving:
        """Return those of an agent that starts now."""
        places = SecretPlaces(self.source, self.sealed, self.memory)
        return Giving(places, self.backoff, lambda: None)

    def fetch(self, module: Module = MODULE) -> None:
        self.giving.start(module)
        until(lambda: spec_digest(module) not in self.giving._in_flight)


@pytest.fixture
def rig(device: Enrolled) -> Iterator[Rig]:
    rig = Rig(device)
    yield rig
    rig.giving.close()
    rig.memory.keep([])


SPEC = spec_digest(MODULE)


def test_what_is_lacking_is_fetched_once_and_handed_over_without_the_hub(rig: Rig) -> None:
    assert rig.giving.lacking([MODULE]) == {SPEC}
    with pytest.raises(SecretUnavailableError):
        rig.giving.hand_over("m-1", MODULE, "")
    rig.fetch()
    assert rig.giving.lacking([MODULE]) == frozenset()
    assert rig.source.asked == ["db:1", "key:3"]
    rig.source.error = SecretUnavailableError("away")
    rig.giving = rig.again()
    assert rig.giving.lacking([MODULE]) == frozenset()
    (mount,) = rig.giving.hand_over("m-1", MODULE, "1000:1000")
    assert (mount.target, mount.read_only) == ("/run/secrets", True)
    assert {path.name: path.read_bytes() for path in mount.source.iterdir()} == {
        "password": VALUE, "partner.key": b"k" * 65536,
    }  # fmt: skip
    assert rig.giving.hand_over("m-2", msgspec.structs.replace(MODULE, secrets=msgspec.UNSET), "") == ()
    rig.giving.take_back("m-1")
    assert not mount.source.exists()


def test_a_damaged_file_is_found_at_the_start_and_fetched_anew(rig: Rig) -> None:
    rig.fetch()
    assert rig.giving.lacking([MODULE]) == frozenset()
    (rig.sealed.folder / "db.1").write_bytes(b"damaged")
    with pytest.raises(SecretUnavailableError) as refused:
        rig.giving.hand_over("m-1", MODULE, "")
    assert refused.value.retriable
    assert rig.giving.lacking([MODULE]) == {SPEC}
    rig.fetch()
    assert rig.giving.hand_over("m-1", MODULE, "")
    # One that is gone is found without a start.
    (rig.sealed.folder / "db.1").unlink()
    assert rig.giving.lacking([MODULE]) == {SPEC}


def test_a_new_key_leads_to_fetching_anew(device: Enrolled, rig: Rig) -> None:
    rig.fetch()
    device.enrol()
    rig.giving = rig.again()
    assert rig.giving.lacking([MODULE]) == {SPEC}
    rig.fetch()
    assert rig.source.asked == ["db:1", "key:3"] * 2
    assert rig.giving.hand_over("m-1", MODULE, "")


def test_while_the_hub_is_away_it_waits_longer_and_longer_and_never_gives_up(rig: Rig) -> None:
    rig.source.error = SecretUnavailableError("the hub does not answer", where="secret db:1")
    assert rig.giving.lacking([MODULE]) == {SPEC}
    wait_s = 1.0
    for _ in range(10):
        rig.fetch()
        assert rig.giving.lacking([MODULE]) == {SPEC}
        assert rig.giving.troubles() == {SPEC: "secret db:1: the hub does not answer [secret-unavailable]"}
        rig.clock.now += wait_s - 0.01
        assert rig.giving.busy() == {SPEC}
        rig.clock.now += 0.02
        assert rig.giving.busy() == frozenset()
        wait_s = min(LONGEST_S, wait_s * 2)
    assert rig.giving.take_failures() == []
    rig.source.error = None
    rig.fetch()
    assert (rig.giving.troubles(), rig.giving.lacking([MODULE])) == ({}, frozenset())


def test_what_was_destroyed_fails_the_version_once(rig: Rig) -> None:
    rig.source.error = SecretGoneError("this version was destroyed", where="secret db:1")
    rig.fetch()
    assert rig.giving.take_failures() == [(MODULE, "secret db:1: this version was destroyed [secret-gone]")]
    assert rig.giving.take_failures() == []


def test_a_full_disk_and_an_odd_error_tell_no_value(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.sealed.folder.mkdir(parents=True)
    (rig.sealed.folder / ".db.1.new").mkdir()
    rig.fetch()
    assert "cannot be kept" in rig.giving.troubles()[SPEC]
    (rig.sealed.folder / ".db.1.new").rmdir()
    rig.source.values.clear()
    rig.source.error = ValueError(VALUE.decode())  # type: ignore[assignment]
    rig.fetch()
    assert rig.giving.troubles() == {SPEC: "ValueError"}
    assert "canary" not in caplog.text
    assert caplog.text.count("a secret is not here") == 2


def test_what_nothing_refers_to_is_deleted(rig: Rig) -> None:
    rig.fetch()
    one = msgspec.structs.replace(MODULE, secrets=(msgspec.structs.replace(DB, file="x"),))
    (mount,) = rig.giving.hand_over("m-1", MODULE, "")
    rig.giving.keep([MODULE, one], ["m-1"])
    assert len(list(rig.sealed.folder.iterdir())) == 2
    rig.giving.keep([one], ["m-1"])
    assert [path.name for path in rig.sealed.folder.iterdir()] == ["db.1"]
    assert mount.source.exists()
    rig.giving.keep([], [])
    assert list(rig.sealed.folder.iterdir()) == []
    assert not mount.source.exists()


def test_a_disk_that_fails_stops_no_round(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.fetch()
    (rig.sealed.folder / "folder").mkdir()  # no file can be unlinked in its place
    for _ in range(3):
        rig.giving.keep([MODULE], [])
    assert caplog.text.count("cannot be deleted") == 1
    (rig.sealed.folder / "folder").rmdir()
    rig.giving.keep([MODULE], [])
    assert rig.giving.lacking([MODULE]) == frozenset()


def test_what_is_not_the_secret_is_not_taken_for_it() -> None:
    source = HubSecrets("https://localhost:9", ssl.create_default_context(), timeout_s=1)
    with pytest.raises(SecretUnavailableError, match="does not answer"):
        source.fetch(DB)
    answers: list[tuple[int, bytes]] = [
        (HTTPStatus.OK, b'{"name":"db","version":2,"value":"canary"}'),
        (HTTPStatus.OK, b'{"name":"db","version":1,"value":7}'),
        (HTTPStatus.OK, b"<html>canary"),
        (HTTPStatus.NOT_FOUND, b"<html>canary"),
        (HTTPStatus.MOVED_PERMANENTLY, b""),
    ]
    for status, body in answers:
        source._get = lambda _, status=status, body=body: (status, body)  # type: ignore[method-assign, misc]
        with pytest.raises(SecretUnavailableError) as refused:
            source.fetch(DB)
        assert "canary" not in str(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__context__ is None or "canary" not in str(refused.value.__context__)
