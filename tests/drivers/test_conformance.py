"""What every driver owes, over each of them."""

import contextlib
import ctypes
import dataclasses
import json
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from agent.artifacts.unpack import unpack
from agent.drivers.port import (
    ContainerRunningError,
    ContainerStoppedError,
    DriverError,
    InvalidContainerError,
    Mount,
)
from tests.artifacts.registry import make_tar
from tests.drivers.rig import PROGRAM, PYTHON, Rig, exited, holder_of, printed, status, until

PR_SET_CHILD_SUBREAPER = 36
RUNC = [pytest.param(name, marks=pytest.mark.system) for name in ("runc", "runc-userns")]
ENGINES = [pytest.param(name, marks=pytest.mark.system) for name in ("docker", "podman")]
every = pytest.mark.parametrize("rig", ["fake", "process", *RUNC, *ENGINES], indirect=True)
every_real = pytest.mark.parametrize("rig", ["process", *RUNC, *ENGINES], indirect=True)
held = pytest.mark.parametrize("rig", ["process", *RUNC], indirect=True)


@every
def test_a_started_container_runs_and_is_seen_by_another_driver(rig: Rig) -> None:
    assert rig.driver().observe() == ()
    rig.start(rig.spec("serve"))
    seen = status(rig.driver(), "one")
    assert seen is not None
    assert seen.running
    assert seen.pid is not None
    assert seen.exit_code is None


@every
def test_term_ends_it_and_removal_may_be_repeated(rig: Rig) -> None:
    spec = rig.spec("serve")
    driver = rig.start(spec)
    if rig.kind != "fake":
        printed(spec, "serving")
    driver.signal("one", signal.SIGTERM)
    ended = exited(driver, "one")
    assert ended.pid is None
    assert ended.exit_code == (0 if rig.kind == "fake" else 7)
    driver.signal("one", signal.SIGTERM)  # already gone: no error
    driver.remove("one")
    driver.remove("one")
    assert driver.observe() == ()
    driver.signal("one", signal.SIGKILL)  # never heard of: no error


@every
def test_removal_of_a_running_container_is_refused(rig: Rig) -> None:
    driver = rig.start(rig.spec("serve"))
    with pytest.raises(ContainerRunningError):
        driver.remove("one")
    seen = status(driver, "one")
    assert seen is not None
    assert seen.running


@every
def test_an_id_in_use_is_refused_and_its_container_left_alone(rig: Rig) -> None:
    driver = rig.start(rig.spec("serve"))
    with pytest.raises(ContainerRunningError):
        rig.start(rig.spec("serve"))
    seen = status(driver, "one")
    assert seen is not None
    assert seen.running


@every
def test_a_removed_id_can_be_started_again(rig: Rig) -> None:
    driver = rig.start(rig.spec("exit", "3"))
    driver.signal("one", signal.SIGKILL)
    exited(driver, "one")
    driver.remove("one")
    rig.start(rig.spec("serve"), driver)
    seen = status(driver, "one")
    assert seen is not None
    assert seen.running


@every
def test_a_missing_program_is_an_error_that_leaves_nothing(rig: Rig) -> None:
    spec = rig.spec(args=("/opt/no-such-program",))
    with pytest.raises(DriverError) as caught:
        rig.start(spec)
    assert "one" in str(caught.value)
    assert rig.driver().observe() == ()
    assert list(spec.home.iterdir()) == []


@every
@pytest.mark.parametrize(
    "change",
    [
        {"id": "../one"},
        {"layers": ()},
        {"args": ()},
        {"cwd": "app"},
        {"cwd": "/../app"},
        {"user": "root"},
        {"env": {"A=B": "c"}},
        {"env": {"A": "b\0c"}},
        {"mounts": (Mount(Path("/x"), "/", read_only=True),)},
        {"mounts": (Mount(Path("/x"), "/a/../..", read_only=True),)},
    ],
)
def test_a_specification_that_breaks_a_rule_is_refused(rig: Rig, change: dict[str, object]) -> None:
    spec = dataclasses.replace(rig.spec("serve"), **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidContainerError):
        rig.start(spec)
    assert rig.driver().observe() == ()


@every
def test_another_agents_containers_are_not_seen(rig: Rig, tmp_path: Path) -> None:
    rig.start(rig.spec("serve"))
    with socket.socket(socket.AF_UNIX) as unused:
        other = Rig(rig.kind, tmp_path / "other", rig.layers, unused, rig.engine)
        assert other.driver().observe() == ()
        other.driver().signal("one", signal.SIGKILL)
        other.driver().remove("one")
    seen = status(rig.driver(), "one")
    assert seen is not None
    assert seen.running


@every_real
def test_it_serves_on_descriptor_3_with_its_environment_and_log(rig: Rig) -> None:
    spec = rig.spec("serve", "two words", "", "$HOME `id`", env={"TEXT": "a 'b' \"c\" $d\ne", "EMPTY": ""})
    left_open, theirs = os.pipe()
    os.set_inheritable(theirs, True)  # as whoever starts an agent may do
    try:
        rig.start(spec)
    finally:
        os.close(left_open)
        os.close(theirs)
    facts = rig.ask()
    assert facts["env"]["LISTEN_FDS"] == "1"
    assert facts["env"]["LISTEN_PID"] == str(facts["pid"])
    assert facts["env"]["TEXT"] == "a 'b' \"c\" $d\ne"
    assert facts["env"]["EMPTY"] == ""
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PYTEST_CURRENT_TEST" not in facts["env"]
    assert facts["args"][2:] == ["two words", "", "$HOME `id`"]
    assert facts["fds"] == ["0", "1", "2", "3", "4", "5"]  # 4 the connection, 5 the listing itself
    assert facts["status"]["NoNewPrivs"] == "1"
    log = printed(spec, "a word on stderr")
    if rig.kind in ("docker", "podman"):  # two pipes, which the engine reads side by side
        assert "serving\n" in printed(spec, "serving")
    else:
        assert log.startswith("serving\n")


@every
def test_more_listeners_are_handed_over_by_name(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as http, socket.create_server(("127.0.0.1", 0)) as grpc:
        spec = rig.spec("serve")
        rig.start(spec, ports={"http": http.fileno(), "grpc": grpc.fileno()})
        if rig.kind == "fake":
            held = rig.machine.containers["one"].listeners
            assert list(held) == ["socket", "http", "grpc"]
            assert os.path.samestat(os.fstat(held["grpc"]), os.fstat(grpc.fileno()))
            return
        for listener, name in ((rig.listener, "socket"), (http, "http"), (grpc, "grpc")):
            facts = rig.ask(listener)
            assert facts["listener"] == name
            assert facts["env"]["LISTEN_FDS"] == "3"
            assert facts["env"]["LISTEN_FDNAMES"] == "socket:http:grpc"
            assert facts["fds"] == [str(number) for number in range(8)]  # 6 the connection, 7 the listing


@every
@pytest.mark.parametrize("name", ["socket", "a:b", "", "A", "a\nb"])
def test_a_listener_with_another_name_than_it_may_have_is_refused(rig: Rig, name: str) -> None:
    with pytest.raises(InvalidContainerError):
        rig.start(rig.spec("serve"), ports={name: rig.listener.fileno()})
    assert rig.driver().observe() == ()


@every_real
def test_what_a_layer_whites_out_is_not_there_and_what_stands_above_is(rig: Rig, tmp_path: Path) -> None:
    below = ("kept", "gone", "folder/gone", "shut/gone", "back")
    middle = (".wh.gone", ".wh.folder", "shut/.wh..wh..opq", "shut/own", ".wh.back")
    for number, names in enumerate((below, middle, ("back", "shut/new"))):
        (tmp_path / "tar").write_bytes(make_tar({f"data/{name}": b"" for name in names}))
        layer = tmp_path / f"layer{number}"
        layer.mkdir()
        unpack(tmp_path / "tar", layer)
        rig.layers += (layer,)
    rig.start(rig.spec("serve"))
    assert rig.ask()["data"] == ["back", "kept", "shut", "shut/new", "shut/own"]


@every_real
def test_the_log_is_appended_to(rig: Rig) -> None:
    spec = rig.spec("serve")
    spec.log.write_text("before\n")
    rig.start(spec)
    assert printed(spec, "serving").startswith("before\n")


@every_real
def test_two_containers_share_one_listener_and_the_second_serves_on(rig: Rig) -> None:
    first, second = rig.spec("serve", name="first"), rig.spec("serve", name="second")
    driver = rig.start(first)
    assert rig.ask()["env"]["HEADLAND_CONTAINER"] == "first"
    rig.start(second, driver)
    printed(second, "serving")
    driver.signal("first", signal.SIGTERM)
    exited(driver, "first")
    driver.remove("first")
    assert [rig.ask()["env"]["HEADLAND_CONTAINER"] for _ in range(5)] == ["second"] * 5


@every_real
def test_a_container_that_ignores_term_is_ended_by_kill(rig: Rig) -> None:
    spec = rig.spec("stubborn")
    driver = rig.start(spec)
    printed(spec, "serving")
    driver.signal("one", signal.SIGTERM)
    driver.signal("one", signal.SIGTERM)
    seen = status(driver, "one")
    assert seen is not None
    assert seen.running
    driver.signal("one", signal.SIGKILL)
    assert exited(driver, "one").exit_code == 137


@every_real
def test_an_exit_code_is_known_at_once_and_until_removal(rig: Rig) -> None:
    driver = rig.driver()
    for name, code in (("well", 0), ("badly", 9)):
        rig.start(rig.spec("exit", str(code), name=name), driver)
        assert exited(driver, name).exit_code == code
    for other in (driver, rig.driver()):
        assert {seen.id: seen.exit_code for seen in other.observe()} == {"well": 0, "badly": 9}


@held
def test_what_holds_an_exit_code_has_nothing_of_the_agents_and_goes_with_the_container(rig: Rig) -> None:
    spec = rig.spec("serve")
    driver = rig.start(spec)
    holder = holder_of(rig)
    assert holder.open_files() == []
    assert holder.net_connections() == []
    assert holder.cwd() == "/"
    assert holder.environ() == {}
    driver.signal("one", signal.SIGKILL)
    exited(driver, "one")
    assert holder.is_running()
    driver.remove("one")
    assert not holder.is_running()


@held
def test_without_its_holder_a_container_runs_on_and_its_exit_code_is_unknown(rig: Rig) -> None:
    """The control: it is the holder that keeps the code."""
    driver = rig.start(rig.spec("serve"))
    holder_of(rig).kill()
    assert rig.ask()["env"]["HEADLAND_CONTAINER"] == "one"
    driver.signal("one", signal.SIGTERM)
    assert exited(driver, "one").exit_code is None
    driver.remove("one")
    assert driver.observe() == ()


@every_real
def test_nothing_serves_on_after_removal(rig: Rig) -> None:
    spec = rig.spec("abandon")
    driver = rig.start(spec)
    printed(spec, "abandoned")
    exited(driver, "one")
    driver.remove("one")
    rig.listener.settimeout(5)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(rig.listener.getsockname())
        accepted, _ = rig.listener.accept()  # nobody else is there to take it
        accepted.close()


@every_real
def test_a_mount_is_seen_and_written_through(rig: Rig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    run.chmod(0o777)
    spec = rig.spec(
        "write", "/run/headland/file", "/tmp/file", mounts=(Mount(run, "/run/headland", read_only=False),)
    )
    assert set(rig.run(spec).values()) == {"written"}
    assert (run / "file").read_text() == "x"
    assert not Path("/tmp/file").exists()


@every_real
def test_memory_is_limited(rig: Rig) -> None:
    limits = rig.spec().limits
    small = dataclasses.replace(rig.spec("eat", "600", name="small"))
    small = dataclasses.replace(small, limits=type(limits)(memory_bytes=64 * 1024 * 1024))
    large = rig.spec("eat", "100", name="large", limits=type(limits)(memory_bytes=1024**3))
    driver = rig.start(small)
    rig.start(large, driver)
    exited(driver, "small")
    exited(driver, "large")
    assert "ate 600" not in small.log.read_text()
    assert "ate 100" in large.log.read_text()


@every
def test_nothing_runs_in_a_container_that_does_not(rig: Rig) -> None:
    driver = rig.driver()
    with pytest.raises(ContainerStoppedError):
        driver.execute("never-heard-of", ("/bin/true",), 5)
    rig.start(rig.spec("exit", "0"), driver)
    driver.signal("one", signal.SIGKILL)
    exited(driver, "one")
    with pytest.raises(ContainerStoppedError):
        driver.execute("one", (PYTHON, PROGRAM, "look"), 5)
    for args in ((), ("",), ("a\0b",)):
        with pytest.raises(InvalidContainerError):
            driver.execute("one", args, 5)


@every_real
def test_a_program_in_a_container_sees_what_its_first_process_sees(rig: Rig) -> None:
    spec = rig.spec("serve", env={"TEXT": "a 'b' $c\nd"})
    driver = rig.start(spec)
    first = rig.ask()
    printed(spec, "stderr")
    before = set(Path("/proc/self/fd").iterdir())
    done = driver.execute("one", (PYTHON, PROGRAM, "look", "two words", "", "$HOME"), 20)
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert done.exit_code == 4
    seen = json.loads(done.output)
    assert seen["words"] == ["two words", "", "$HOME"]
    assert seen["env"]["TEXT"] == "a 'b' $c\nd"
    not_its_own = {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "HEADLAND_EXEC"}
    for facts in (first, seen):
        facts["env"] = {name: value for name, value in facts["env"].items() if name not in not_its_own}
    assert seen["env"] == first["env"]
    assert seen["fds"] == ["0", "1", "2", "3"]  # 3 the listing itself
    for same in ("cwd", "namespaces", "interfaces"):
        assert seen[same] == first[same]
    for guard in ("Uid", "Gid", "NoNewPrivs", "Seccomp", "CapBnd", "CapEff", "CapAmb"):
        assert seen["status"][guard] == first["status"][guard]
    assert status(driver, "one") is not None
    assert rig.ask()["pid"] == first["pid"]


@every_real
def test_a_program_out_of_time_is_killed_with_all_that_it_started(rig: Rig) -> None:
    driver = rig.start(rig.spec("serve"))
    rig.ask()
    done = driver.execute("one", (PYTHON, PROGRAM, "linger"), 5)
    assert done.exit_code is None
    assert done.output == b"lingers\n"
    assert lingering(rig) == []
    assert rig.ask()["env"]["HEADLAND_CONTAINER"] == "one"  # and it alone


@every_real
def test_a_container_can_end_after_a_program_out_of_time_wherever_orphans_go(rig: Rig) -> None:
    """Here they come to this process, which takes the end of none."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        driver = rig.start(rig.spec("serve"))
        rig.ask()
        assert driver.execute("one", (PYTHON, PROGRAM, "linger"), 5).exit_code is None
        driver.signal("one", signal.SIGKILL)
        exited(driver, "one")
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@every_real
def test_what_lingers_would_be_seen(rig: Rig) -> None:
    """The control of the test above."""
    spec = rig.spec("linger")
    driver = rig.start(spec)
    printed(spec, "lingers")
    until("all have begun", lambda: len(lingering(rig)) == 7)
    for pid in lingering(rig):  # also those that a plain process has let out of its session
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    exited(driver, "one")


def lingering(rig: Rig) -> list[int]:
    """Return the processes that linger, of this test alone."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("WHOSE") == rig.whose
            if mine and "linger" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@every_real
def test_output_of_a_program_in_a_container_is_bounded(rig: Rig) -> None:
    driver = rig.start(rig.spec("serve"))
    rig.ask()
    done = driver.execute("one", (PYTHON, PROGRAM, "flood"), 5)
    assert done.exit_code is None
    assert done.output == b"x" * 16384


@every_real
def test_a_program_that_is_not_there_is_an_error(rig: Rig) -> None:
    driver = rig.start(rig.spec("serve"))
    with pytest.raises(DriverError) as caught:
        driver.execute("one", ("/opt/no-such-program",), 5)
    assert not isinstance(caught.value, ContainerStoppedError)
    assert caught.value.code != "driver-timeout"


@every_real
def test_a_driver_that_did_not_start_it_runs_programs_in_it_too(rig: Rig) -> None:
    rig.start(rig.spec("serve"))
    assert rig.driver().execute("one", (PYTHON, PROGRAM, "look"), 20).exit_code == 4
