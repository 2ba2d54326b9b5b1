"""Logs: bounds that hold without a copy too, and what `headland-agent logs` prints of them."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli import main
from agent.container_logs.reading import Follower, containers_of, last_lines, printable
from agent.container_logs.rotation import KEPT_MODULES, Rotation, rotate
from agent.reconcile.records import ContainerRecords
from agent.settings import Logs, Settings
from contract.desired import ImageRef, Module
from tests.disks import small_disk
from tests.machine.device import PROGRAM, Enrolled

BOUNDS = Logs(max_bytes=16 * 1024, files=2)
MODULE = Module(name="m", image=ImageRef(repository="w/m", digest="sha256:" + "0" * 64, name="m:1"))


def numbered(begin: int, end: int) -> bytes:
    return b"".join(b"line %06d\n" % number for number in range(begin, end))


class Machine:
    """A state folder with containers of the module m."""

    def __init__(self, state: Path) -> None:
        self.settings = Settings(state_dir=state, logs=BOUNDS)
        self.records = ContainerRecords(state / "containers")
        self.rotation = Rotation(state / "containers", state / "logs", BOUNDS)

    def container(self) -> tuple[str, Path]:
        record = self.records.create(MODULE, "listener")
        home = self.records.home(record.id)
        (home / "log").touch()
        return record.id, home / "log"

    def last(self, most: int) -> list[str]:
        return [line.text for line in last_lines(self.settings, "m", most, {})]


@pytest.fixture
def machine(device: Enrolled) -> Machine:
    return Machine(device.state)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_parts_are_whole_lines_in_order_and_no_more_than_allowed(machine: Machine) -> None:
    _, log = machine.container()
    with log.open("ab", buffering=0) as writer:  # it stays open, as a container's does
        for begin in range(0, 20_000, 500):
            writer.write(numbered(begin, begin + 500))
            machine.rotation.look()
        writer.write(numbered(20_000, 20_001))
    files = sorted(path.name for path in log.parent.iterdir() if path.name.startswith("log"))
    assert files == ["log", "log.1", "log.2"]
    assert all(log.with_name(name).stat().st_size <= BOUNDS.max_bytes for name in files)
    lines = machine.last(10_000)
    assert lines[-1] == "line 020000"
    first = int(lines[0].split()[1])
    kept = [int(line.split()[1]) for line in lines]
    assert kept[-500:] == list(range(19_501, 20_001))
    assert kept == sorted(kept)
    assert first > 10_000
    assert machine.last(3) == ["line 019998", "line 019999", "line 020000"]


def test_containers_are_in_the_order_of_their_starts_whatever_the_clock_said(machine: Machine) -> None:
    homes = []
    for number, at_s in enumerate([2e9, 30, 1.9e9, 40, 40, 0]):
        _, log = machine.container()
        append(log, numbered(number, number + 1))
        os.utime(log.with_name("record.json"), (at_s, at_s))
        homes.append(log.parent)
    assert containers_of(machine.settings, "m") == homes
    assert machine.last(10) == [f"line {number:06d}" for number in range(6)]
    by_the_clock = sorted(homes, key=lambda home: (home / "record.json").stat().st_mtime)
    assert by_the_clock != homes, "the control"


def test_records_of_an_older_agent_come_first_in_the_order_of_their_times(machine: Machine) -> None:
    homes = [machine.container()[1].parent for _ in range(3)]
    for home, at_s in zip(homes[:2], (200, 100), strict=True):
        record = home / "record.json"
        record.write_bytes(record.read_bytes().replace(b'"number":', b'"unknown":'))
        os.utime(record, (at_s, at_s))
    assert containers_of(machine.settings, "m") == [homes[1], homes[0], homes[2]]


def test_a_log_within_its_bound_is_left_alone(machine: Machine) -> None:
    _, log = machine.container()
    append(log, bytes(BOUNDS.max_bytes))
    assert not rotate(log, BOUNDS)
    append(log, b"x")
    assert rotate(log, BOUNDS)
    assert log.stat().st_size == 0


def test_fewer_files_delete_what_the_former_setting_left(machine: Machine) -> None:
    _, log = machine.container()
    for _ in range(4):
        append(log, bytes(BOUNDS.max_bytes + 1))
        rotate(log, Logs(max_bytes=BOUNDS.max_bytes, files=3))
    assert log.with_name("log.3").exists()
    append(log, bytes(BOUNDS.max_bytes + 1))
    rotate(log, Logs(max_bytes=BOUNDS.max_bytes, files=1))
    assert sorted(path.name for path in log.parent.glob("log*")) == ["log", "log.1"]


@pytest.mark.system
def test_a_full_disk_empties_the_log_all_the_same(machine: Machine) -> None:
    _, log = machine.container()
    with small_disk(log.parent, "64k"):
        with pytest.raises(OSError, match="No space left"):
            append(log, b"x\n" * 65536)
        assert rotate(log, BOUNDS)
        assert [path.name for path in log.parent.iterdir()] == ["log"]
        append(log, b"room again\n")
        assert machine.last(1) == []  # the record was hidden by the small disk
        assert log.read_bytes() == b"room again\n"


def test_the_last_words_of_a_removed_container_stay_until_the_next_one_s(machine: Machine) -> None:
    for words in (b"first crash\n", b"second crash\n"):
        container, log = machine.container()
        append(log, words)
        machine.records.remove(container)
    container, log = machine.container()
    append(log, b"alive\n")
    found = last_lines(machine.settings, "m", 10, {})
    assert [(line.container, line.text) for line in found] == [("-", "second crash"), (container, "alive")]
    assert list((machine.settings.state_dir / "logs").iterdir()) == [
        machine.settings.state_dir / "logs/m.log"
    ]


def test_what_is_kept_of_ended_modules_is_bounded(machine: Machine) -> None:
    kept = machine.settings.state_dir / "logs"
    kept.mkdir()
    for number in range(KEPT_MODULES + 3):
        (kept / f"m{number}.log").write_bytes(numbered(0, 3_000))
        os.utime(kept / f"m{number}.log", (number, number))
    machine.rotation.look()
    left = {path.name for path in kept.iterdir()}
    assert left == {f"m{number}.log" for number in range(3, KEPT_MODULES + 3)}
    assert all(path.stat().st_size <= BOUNDS.max_bytes for path in kept.iterdir())
    assert (kept / "m9.log").read_bytes().endswith(b"line 002999\n")


def test_the_command_prints_the_last_lines(
    device: Enrolled, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    container, log = machine.container()
    append(log, numbered(0, 300))
    assert main(["logs", "m", "--lines", "2", "--state-dir", str(device.state)]) == 0
    assert capsys.readouterr().out == "line 000298\nline 000299\n"
    assert main(["logs", "m", "--state-dir", str(device.state)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 100
    code, answer = device.ask("logs", "m", "--lines", "1")
    assert (code, answer) == (0, [{"container": container, "text": "line 000299"}])
    code, answer = device.ask("logs", "other")
    assert (code, answer["error"]) == (1, "module-unknown")
    assert "It has m." in answer["detail"]
    code, answer = device.ask("logs", "../identity")
    assert (code, answer["error"]) == (1, "invalid-name")


def test_a_module_cannot_steer_the_terminal(machine: Machine) -> None:
    _, log = machine.container()
    append(log, b"\x1b]0;owned\x07\xff\n")
    assert machine.last(1) == ["\\x1b]0;owned\\x07\ufffd"]
    assert printable("gr\u00fc\u00dfe\tx".encode()) == "gr\u00fc\u00dfe\tx"


def follow(follower: Follower, times: int = 2) -> list[str]:
    return [line.text for _ in range(times) for line in follower.new_lines()]


def test_following_goes_on_across_rotations_and_containers(machine: Machine) -> None:
    first, log = machine.container()
    append(log, numbered(0, 10) + b"a part")
    follower = Follower(machine.settings, "m")
    before = last_lines(machine.settings, "m", 2, follower.begins())
    assert [line.text for line in before] == ["line 000008", "line 000009"]
    assert follow(follower) == []
    append(log, b" and its end\n" + numbered(10, 1000))
    assert follow(follower) == ["a part and its end", *numbered(10, 1000).decode().splitlines()]
    append(log, numbered(1000, 2000))
    assert rotate(log, BOUNDS)
    append(log, numbered(2000, 2010))
    assert follow(follower) == numbered(1000, 2010).decode().splitlines()
    second, other = machine.container()
    append(other, b"new\n")
    append(log, b"last words without an end")
    assert follow(follower) == ["new"]
    machine.records.remove(first)
    assert follow(follower) == ["last words without an end"]
    append(other, b"newer\n")
    assert [(line.container, line.text) for line in follower.new_lines()] == [(second, "newer")]
    follower.close()


def test_a_log_that_grew_beyond_our_place_after_a_rotation_is_read_from_its_start(machine: Machine) -> None:
    _, log = machine.container()
    append(log, numbered(0, 10))
    follower = Follower(machine.settings, "m")
    append(log, numbered(10, 2000))
    rotate(log, BOUNDS)
    append(log, numbered(2000, 2100))
    assert len(log.read_bytes()) > len(numbered(0, 10)), "by its size alone nothing is to be seen"
    followed = follow(follower, 3)
    assert followed[-100:] == numbered(2000, 2100).decode().splitlines()
    assert len(followed) == len(set(followed))
    follower.close()


def test_the_command_follows_until_it_is_stopped(device: Enrolled, machine: Machine) -> None:
    _, log = machine.container()
    append(log, b"old\n")
    command = [PROGRAM, "logs", "m", "--follow", "--lines", "1", "--state-dir", str(device.state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        read: Callable[[], bytes] = following.stdout.readline
        assert read() == b"old\n"
        append(log, b"new\n")
        assert read() == b"new\n"
        following.terminate()
    command += ["--output", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["text"] == "new"
        following.terminate()
