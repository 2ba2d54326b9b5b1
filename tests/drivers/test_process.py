"""What only the process driver does: an image's program without a root file system of its own."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from agent.drivers.elf import elf_loader, script_interpreter
from agent.drivers.image_paths import ImagePaths, resolve_inside
from agent.drivers.port import ContainerRunningError, DriverError, InvalidContainerError, Mount
from agent.drivers.proc import boot_id, marked, parse_stat, stat_of
from agent.drivers.process import STATE_ENV, ProcessDriver
from agent.drivers.process_record import FILE, recorded, still_runs
from agent.drivers.rootfs import MergedLayers
from agent.durable import is_of_disk
from tests.drivers.rig import PYTHON, Rig, exited, printed, status, until

process = pytest.mark.parametrize("rig", ["process"], indirect=True)


@process
def test_the_image_brings_its_own_libraries_and_paths(rig: Rig, tmp_path: Path) -> None:
    env = {
        "AZUREML_MODEL_DIR": "/srv/model",
        "PATHS": "/app:/nowhere/at/all:relative:/run/headland/agent.sock",
        "SEP": "/",
        "URL": "http://hub/app",
    }
    run = tmp_path / "run"
    run.mkdir()
    mounts = (Mount(run, "/run/headland", read_only=False), Mount(run / "m", "/srv/model", read_only=True))
    rig.start(rig.spec("serve", "/app/program.py", env=env, mounts=mounts))
    facts = rig.ask()
    root = (rig.folder / "homes/one/process/rootfs").readlink()
    assert facts["libc"].startswith(str(root))
    assert facts["cwd"] == str(root)
    assert facts["args"][2] == f"{root}/app/program.py"
    assert facts["env"]["AZUREML_MODEL_DIR"] == f"{run}/m"
    assert facts["env"]["PATHS"] == f"{root}/app:/nowhere/at/all:relative:{run}/agent.sock"
    assert facts["env"]["SEP"] == "/"
    assert facts["env"]["URL"] == "http://hub/app"
    assert "LD_LIBRARY_PATH" not in facts["env"]
    assert Path(facts["env"]["TMPDIR"]).is_dir()


@process
def test_a_script_runs_with_the_images_interpreter_found_on_its_path(rig: Rig, tmp_path: Path) -> None:
    layer = tmp_path / "script"
    (layer / "opt/python/bin").mkdir(parents=True)
    script = layer / "opt/python/bin/say"
    script.write_text(f"#!{PYTHON} -I\nimport sys\nprint(sys.executable, sys.argv[1:], sys.flags.isolated)\n")
    script.chmod(0o755)
    rig.layers = (*rig.layers, layer)
    spec = rig.spec(args=("say", "hello"), env={"PATH": "/usr/bin:/opt/python/bin"})
    rig.start(spec)
    text = printed(spec, "hello")
    assert "rootfs/" in text
    assert text.endswith("['hello'] 1\n")


@process
@pytest.mark.parametrize("program", ["/opt/python", "/app/program.py", "no-such-word", "/../../../bin/sh"])
def test_a_program_that_the_image_cannot_run_is_refused(rig: Rig, program: str) -> None:
    with pytest.raises(InvalidContainerError, match="no such program"):
        rig.start(rig.spec(args=(program,)))


@process
def test_merged_layers_are_shared_and_go_with_their_last_user(rig: Rig) -> None:
    driver = rig.start(rig.spec("exit", "0", name="a"))
    rig.start(rig.spec("exit", "0", name="b"), driver)
    folder = rig.state / "rootfs"
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1
    for name, left in (("a", 1), ("b", 0)):
        exited(driver, name)
        driver.remove(name)
        assert len([path for path in folder.iterdir() if path.is_dir()]) == left
    assert (rig.layers[1] / "app/program.py").is_file()


@process
def test_no_zombie_is_left_and_another_process_with_its_id_is_not_it(rig: Rig) -> None:
    driver = rig.start(rig.spec("exit", "3"))
    assert exited(driver, "one").exit_code == 3
    record = rig.folder / "homes/one/process" / FILE
    stat, boot = record.read_text().splitlines()
    ended = stat_of(parse_stat(stat).pid)
    assert ended is None or not ended.alive  # what is left of it holds its exit code
    mine = Path(f"/proc/{os.getpid()}/stat").read_text().strip()
    record.write_text(f"{mine}\n{boot}\n")
    found = status(driver, "one")
    assert found is not None
    assert found.running  # the control: such a record does count
    other_start = mine.rpartition(")")[2].split()
    other_start[19] = str(int(other_start[19]) - 1)
    record.write_text(f"{os.getpid()} (x) {' '.join(other_start)}\n{boot}\n")
    assert status(driver, "one") == found.__class__("one", running=False, pid=None, exit_code=3)
    record.write_text(f"{mine}\nanother-boot\n")
    assert recorded(record.parent) is None
    record.write_text("torn")
    assert recorded(record.parent) is None
    record.write_text(f"{stat}\n{boot_id()}\n")
    driver.remove("one")
    until("no zombie is left", lambda: stat_of(parse_stat(stat).pid) is None)


def test_a_zombie_does_not_run() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    try:
        while (seen := stat_of(pid)) is not None and seen.state != "Z":
            pass
        assert seen is not None
        assert not still_runs(seen)
        assert marked({}, session=seen.session) != []
        assert pid not in marked({}, session=seen.session)
    finally:
        os.waitpid(pid, 0)
    assert stat_of(pid) is None


def test_a_name_with_brackets_and_spaces_does_not_confuse() -> None:
    tail = " ".join(["S", "1", "7", "42", *["0"] * 15, "999", "0"])
    seen = parse_stat(f"12 (a) Z (b c) {tail}\n")
    assert (seen.pid, seen.state, seen.session, seen.started_ticks) == (12, "S", 42, 999)
    with pytest.raises(ValueError, match="not a line"):
        parse_stat("12 a S")


def test_links_never_lead_out_of_the_image(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/file").touch()
    links = {"lib": "usr/lib", "abs": "/usr/lib", "up": "../../../../usr", "loop": "loop", "etc": "/etc"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    for path in ("/usr/lib/file", "/lib/file", "/abs/file", "/up/lib/file", "/usr/../../lib/file"):
        assert resolve_inside(root, path) == root / "usr/lib/file"
    for path in ("/loop", "/etc/passwd", "/etc", "/none"):
        assert resolve_inside(root, path) is None
    assert Path("/etc/passwd").exists()  # it would have been found outside
    paths = ImagePaths(root, ())
    assert paths.of_device("/lib/file") == str(root / "lib/file")
    assert paths.of_device("/abs/file") == str(root / "usr/lib/file")
    assert paths.of_device("/etc/passwd") == "/etc/passwd"


def test_merging_follows_no_link_and_the_upper_layer_wins(tmp_path: Path) -> None:
    outside, low, high = tmp_path / "outside", tmp_path / "low", tmp_path / "high"
    for folder in (outside, low, high / "link", high / "folder", low / "file-then-folder-not"):
        folder.mkdir(parents=True)
    (low / "link").symlink_to(outside)
    (high / "link/x").write_text("x")
    (low / "folder").symlink_to("nowhere")
    (low / "same").write_text("low")
    (high / "same").write_text("high")
    (high / "file-then-folder-not").write_text("file")
    (low / "kept").write_text("low")
    merged = MergedLayers(tmp_path / "merged")
    with merged.locked():
        root = merged.merge((low, high))
        assert merged.merge((low, high)) == root
        assert merged.merge((high, low)) != root
    assert list(outside.iterdir()) == []
    assert (root / "link/x").read_text() == "x"
    assert (root / "same").read_text() == "high"
    assert (root / "file-then-folder-not").read_text() == "file"
    assert (root / "kept").samefile(low / "kept")
    assert (low / "same").read_text() == "low"


def test_a_merge_that_was_cut_short_leaves_nothing(tmp_path: Path) -> None:
    merged = MergedLayers(tmp_path)
    (tmp_path / ".new-0123/deep").mkdir(parents=True)
    with merged.locked():
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_loader_of_programs(tmp_path: Path) -> None:
    loader = elf_loader(Path(os.path.realpath("/bin/sh")))
    assert loader is not None
    assert Path(loader).exists()
    for content in (b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(60), b"#!/bin/sh\n"):
        (tmp_path / "file").write_bytes(content)
        assert elf_loader(tmp_path / "file") is None
    assert script_interpreter(tmp_path / "file") == ["/bin/sh"]
    (tmp_path / "file").write_bytes(b"#! /usr/bin/env python3 -I\n")
    assert script_interpreter(tmp_path / "file") == ["/usr/bin/env", "python3 -I"]
    assert script_interpreter(Path(os.path.realpath("/bin/sh"))) == []


def test_a_copy_is_made_where_links_are_not_possible(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system that can be written to is at /dev/shm")
    layer = other / f"headland-test-{os.getpid()}"
    layer.mkdir()
    try:
        (layer / "file").write_text("x")
        (layer / "link").symlink_to("file")
        merged = MergedLayers(tmp_path)
        with merged.locked():
            root = merged.merge((layer,))
        assert (root / "link").read_text() == "x"
        assert (root / "link").is_symlink()
    finally:
        shutil.rmtree(layer)


@process
def test_a_disk_that_fails_when_the_program_runs_already_is_what_is_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks must not take it for the image's fault; and nothing of it runs on."""
    driver, spec = rig.driver(), rig.spec("serve")

    def failing(own: Path) -> int | None:
        until("it runs", (own / FILE).exists)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ProcessDriver, "_await_record", lambda _self, _id, _pid, own: failing(own))
    with pytest.raises(DriverError) as caught:
        driver.start(spec, rig.listener.fileno())
    assert is_of_disk(caught.value)
    assert driver.observe() == ()
    assert not marked({STATE_ENV: str(rig.state.absolute())})
    # The control: undone as a start is that had not come so far, it is there still.
    monkeypatch.setattr(ProcessDriver, "_abandon", ProcessDriver._clear)
    with pytest.raises(DriverError):
        driver.start(spec, rig.listener.fileno())
    with pytest.raises(ContainerRunningError):
        driver.remove("one")
