"""What only the driver of container engines promises: its walls, its logs, its images, others left alone."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import signal
import socket
import tarfile
import threading
import time
from pathlib import Path

import pytest

from agent.drivers.choose import choose_driver
from agent.drivers.docker import DockerDriver
from agent.drivers.docker_engine import Engine, EngineUnreachableError
from agent.drivers.docker_image import Picture, image_name, write_archive
from agent.drivers.docker_logs import BEGINNING, Behind, Piece, read_piece, timed
from agent.drivers.grants import DeviceNode, Grants
from agent.drivers.port import DriverUnavailableError, Mount
from agent.endpoints.handover import Handover
from agent.layers import MARK
from contract.desired import Limits
from tests.drivers.rig import PYTHON, Rig, exchanged, exited, printed, status, until
from tests.drivers.test_agent_death import kill, start_agent

ENGINES = [pytest.param(name, marks=pytest.mark.system) for name in ("docker", "podman")]
engines = pytest.mark.parametrize("rig", ENGINES, indirect=True)


def engine_of(rig: Rig) -> Engine:
    assert rig.engine is not None
    return Engine(rig.engine, timeout_s=30)


@engines
def test_it_has_the_walls_that_runc_has(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "ro").mkdir()
    (tmp_path / "ro").chmod(0o777)
    rig.start(rig.spec("serve"))
    facts = rig.ask()
    assert facts["pid"] == 1
    assert facts["status"]["Uid"].split() == facts["status"]["Gid"].split() == ["65532"] * 4
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts["status"][capabilities], 16) == 0
    assert (facts["status"]["NoNewPrivs"], facts["status"]["Seccomp"]) == ("1", "2")
    assert set(facts["up"]) <= {"lo"}
    (core,) = [line for line in facts["core"].splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
    mounts = (Mount(tmp_path / "ro", "/srv/model", read_only=True),)
    refused = ("/x", "/app/x", "/opt/python/bin/python3", "/srv/model/x", "/proc/sysrq-trigger")
    for user in ("", "0:0"):
        name = f"as{user.partition(':')[0]}"
        results = rig.run(rig.spec("write", "/tmp/x", *refused, mounts=mounts, user=user, name=name))
        assert {path for path, result in results.items() if result == "written"} == {"/tmp/x"}
        results = rig.run(rig.spec("syscalls", user=user, name=f"{name}-calls"))
        allowed = {"socket-unix", "socket-tcp", "socket-udp6"}
        assert {name for name, number in results.items() if number == 0} == allowed
        assert results["mount"] == results["bpf"] == errno.EPERM


@engines
def test_threads_start(rig: Rig) -> None:
    """By another call where clone3 is said not to be there: EPERM would end the attempt."""
    start = "import threading; t = threading.Thread(target=print, args=(1,)); t.start(); t.join()"
    assert rig.run(rig.spec(args=(PYTHON, "-c", start))) == 1


@engines
def test_it_is_given_what_the_owner_allows_and_no_more(rig: Rig, tmp_path: Path) -> None:
    site, judged = exchanged(tmp_path)
    device = DeviceNode("/dev/kmsg", "c", 1, 11, "w")
    grants = Grants(devices=(device,), capabilities=("NET_RAW",), host_network=True)
    mount = Mount(site, "/etc/site", read_only=True, descriptor=judged)
    look = (
        "import json, os; s = open('/proc/self/status').read(); os.close(os.open('/dev/kmsg', os.O_WRONLY));"
        "print(json.dumps([open('/etc/site/which').read(), s.split('CapBnd:')[1].split()[0]]))"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        look += f"; import socket; assert socket.socket().connect_ex({server.getsockname()!r}) == 0"
        spec = rig.spec(args=(PYTHON, "-c", look), mounts=(mount,), user="0:0")
        try:
            which, bounding = rig.run(dataclasses.replace(spec, grants=grants))
        finally:
            os.close(judged)
    assert (which, int(bounding, 16)) == ("site", 1 << 13)
    assert "staged" not in Path("/proc/self/mountinfo").read_text().replace("unstaged", "")
    rig.start(dataclasses.replace(rig.spec("serve"), grants=Grants(privileged=True)))
    assert rig.ask()["status"]["Seccomp"] == "0"


@engines
def test_processes_and_processor_are_limited(rig: Rig) -> None:
    assert rig.run(rig.spec("fork", "20", name="few", limits=Limits(pids=8)))["children"] <= 7
    assert rig.run(rig.spec("fork", "20", name="many", limits=Limits(pids=64)))["children"] == 20
    assert rig.run(rig.spec("spin", "0.3", name="slow", limits=Limits(cpus=0.1)))["took_s"] > 1.5


@engines
def test_its_log_is_copied_once_also_over_an_agents_death_and_to_the_last_line(rig: Rig) -> None:
    # What comes faster than the engine keeps for each look is lost: Podman is looked at.
    spec = rig.spec("chatter", "0.02" if rig.kind == "podman" else "0.0005")
    agent = start_agent(rig, spec)
    printed(spec, "000000400 ")
    kill(agent)
    size = spec.log.stat().st_size
    driver = rig.driver()
    assert status(driver, "one") is not None
    until("it is copied on", lambda: spec.log.stat().st_size > size)
    driver.signal("one", signal.SIGTERM)
    exited(driver, "one")
    lines = spec.log.read_text().splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    assert lines[-1].endswith("the end")
    again = [number for number, before in zip(numbers[1:], numbers, strict=False) if number <= before]
    # The engine keeps a bounded part for who comes late: what is here is in order, the last line too.
    assert len(again) <= 1
    assert len(set(numbers)) >= len(numbers) - 1


@engines
def test_nobody_follows_a_container_that_somebody_else_removed(rig: Rig) -> None:
    engine, driver = engine_of(rig), rig.start(rig.spec("serve"))
    assert isinstance(driver, DockerDriver)
    follower = driver._followers["one"]
    time.sleep(2.5)
    assert follower.follows, "the control: as long as it is there"
    engine.ask("DELETE", f"/containers/{driver._name('one')}", query={"force": "1"})
    until("it is at its end", lambda: not follower.follows)


@engines
def test_others_and_their_images_are_left_alone(rig: Rig, tmp_path: Path) -> None:
    engine = engine_of(rig)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    mine = rig.start(rig.spec("serve"))
    image = image_name(rig.layers)
    name = f"foreign-{rig.whose}"
    engine.ask("POST", "/containers/create", {"Image": image, "Cmd": ["/x"]}, query={"name": name})
    other = Engine(engine.socket, timeout_s=30)
    picture = Picture(f"localhost/foreign/{rig.whose}:1", "amd64", {})
    other.send("/images/load?quiet=1", "application/x-tar", lambda write: write_archive(picture, (), write))
    try:
        assert [seen.id for seen in mine.observe()] == ["one"]
        mine.signal("one", signal.SIGKILL)
        exited(mine, "one")
        mine.remove("one")
        assert engine.ask("GET", f"/containers/{name}/json").fine
        assert engine.ask("GET", f"/images/{picture.name}/json").fine
    finally:
        engine.ask("DELETE", f"/containers/{name}")
        engine.ask("DELETE", f"/images/{picture.name}")


@engines
def test_an_image_goes_when_its_layers_have_gone(rig: Rig, tmp_path: Path) -> None:
    layer = tmp_path / "passing"
    layer.mkdir()
    (layer / "file").write_text("x")
    rig.layers += (layer,)
    engine, name = engine_of(rig), image_name(rig.layers)
    driver = rig.driver()
    for ends, there in ((False, True), (True, False)):
        rig.start(rig.spec("exit", "0"), driver)
        exited(driver, "one")
        if ends:
            (layer / "file").unlink()
            layer.rmdir()
        driver.remove("one")
        assert engine.ask("GET", f"/images/{name}/json", but=(404,)).fine is there


@pytest.mark.system
def test_it_is_chosen_only_where_it_is_asked_for_and_works(docker: Path, tmp_path: Path) -> None:
    driver, why = choose_driver("docker", tmp_path, docker)
    assert driver.name == "docker"
    assert str(docker) in why
    assert list(tmp_path.iterdir()) == []
    assert choose_driver("auto", tmp_path, docker)[0].name != "docker"


def test_an_engine_that_does_not_answer_is_said(tmp_path: Path) -> None:
    with pytest.raises(DriverUnavailableError, match="does not answer"):
        choose_driver("docker", tmp_path, tmp_path / "nobody")
    with pytest.raises(EngineUnreachableError):
        DockerDriver(tmp_path, tmp_path / "nobody").observe()


def test_an_archive_is_the_same_each_time_and_keeps_what_a_layer_says(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o750)
    (tmp_path / "etc/a").write_bytes(b"x" * 700)
    os.link(tmp_path / "etc/a", tmp_path / "etc/b")
    (tmp_path / "etc/.wh.gone").touch()
    (tmp_path / "link").symlink_to("etc/a")
    (tmp_path / MARK).touch()
    made = []
    for _ in range(2):
        pieces: list[bytes] = []
        write_archive(Picture("localhost/headland/x:1", "arm64", {"k": "v"}), (tmp_path,), pieces.append)
        made.append(b"".join(pieces))
    assert made[0] == made[1]
    with tarfile.open(fileobj=io.BytesIO(made[0])) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        config = json.load(outer.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        layers = [outer.extractfile(name).read() for name in manifest["Layers"]]  # type: ignore[union-attr]
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    assert config["rootfs"]["diff_ids"] == digests
    assert (config["architecture"], config["config"]) == ("arm64", {"Labels": {"k": "v"}})
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as tar:
        assert tar.getnames() == ["etc", "etc/.wh.gone", "etc/a", "etc/b", "link"]
        assert tar.getmember("etc").mode == 0o750
        assert tar.getmember("etc/b").linkname == "etc/a"
        assert tar.getmember("link").linkname == "etc/a"
    with tarfile.open(fileobj=io.BytesIO(layers[1])) as tar:
        assert [(one.name, one.mode) for one in tar] == [("tmp", 0o1777)]


def test_pieces_of_a_log_and_their_times() -> None:
    def piece(text: bytes, stream: int = 1) -> bytes:
        return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text

    stream = io.BytesIO(piece(b"a\n") + piece(b"b\n", 2) + piece(b"cut")[:-1])
    assert [read_piece(stream) for _ in range(3)] == [b"a\n", b"b\n", None]
    assert read_piece(io.BytesIO(b"\x01\0\0\0\xff\xff\xff\xff")) is None
    assert timed(b"1970-01-01T00:00:01.5Z a b\n") == ((1, 500_000_000), b"a b\n")
    assert timed(b"1970-01-01T01:00:01+01:00 \n") == ((1, 0), b"\n")
    assert timed(b"1970-01-01T00:00:01.123456789Z x") == ((1, 123_456_789), b"x")
    assert timed(b"no time") == (None, b"no time")


def test_what_is_printed_after_the_clock_was_set_back_is_copied_once() -> None:
    times = (10, 20, 30, 30, 5, 6, 40)
    printed: list[Piece] = [((at_s, 0), b"%d\n" % number) for number, at_s in enumerate(times)]
    place = BEGINNING
    for known, (at, text) in enumerate(printed, 1):
        assert at is not None
        place = place.behind(at, text)
        for dropped in range(len(printed)):  # the engine drops its oldest
            behind = Behind(place)
            picked = list(behind.of(printed[dropped:]))
            if times[dropped:known].count(at[0]) >= place.lines:
                assert picked == printed[known:]
            elif at[0] not in times[dropped:]:
                assert not behind.found, "the place went with them: all is new"
    by_the_times = [piece for piece in printed if piece[0] is not None and piece[0] > (30, 0)]
    assert by_the_times == printed[6:], "the control: what came after the clock was set back is lost"


def test_a_line_in_two_pieces_is_one(tmp_path: Path) -> None:
    whole: list[Piece] = [((1, 0), b"a\n"), ((1, 0), b"bc\n"), ((1, 0), b"d\n")]
    parted = [whole[0], ((1, 0), b"b"), ((1, 0), b"c\n"), whole[2]]
    for read, again in ((whole, parted), (parted, whole)):
        place = BEGINNING
        for at, text in read[:-1]:
            assert at is not None
            place = place.behind(at, text)
        assert list(Behind(place).of(again)) == [whole[2]]


def test_listeners_are_handed_to_whoever_asks_until_closed(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)  # longer than a socket's path may be
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as first, socket.socket() as second:
        before = threading.active_count()
        handing = Handover(folder, {"socket": first.fileno(), "web": second.fileno()})
        place = os.open(folder, os.O_PATH)
        door = f"/proc/self/fd/{place}/socket"
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(door)
                names, found, _, _ = socket.recv_fds(line, 4096, 32)
            assert names == b"socket:web"
            same = zip(found, (first, second), strict=True)
            assert all(os.path.samestat(os.fstat(fd), os.fstat(own.fileno())) for fd, own in same)
            for fd in found:
                os.close(fd)
        handing.close()
        with socket.socket(socket.AF_UNIX) as line, pytest.raises(ConnectionRefusedError):
            line.connect(door)
        os.close(place)
        assert threading.active_count() == before
