"""The folder that a container writes into: its user may, and can do no harm with it."""

import errno
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import tmpfs
from agent.drivers.bundle import DEFAULT_USER
from agent.endpoints import listeners
from agent.endpoints.listeners import bind
from agent.reconcile.holding import is_locked
from agent.reconcile.records import ContainerRecords
from contract.desired import ImageRef, Module

MODULE = Module(name="m", image=ImageRef(repository="r", digest="sha256:" + "0" * 64, name="m:1"))


def as_the_module(folder: Path, work: Callable[[], object]) -> int:
    """Do something in a folder as a container's user; return 0, or the number of the error.

    The way there is only the agent's; a container has it as a mount.
    """
    entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    child = os.fork()
    if child == 0:
        try:
            os.setgid(DEFAULT_USER[1])
            os.setuid(DEFAULT_USER[0])
            os.fchdir(entry)
            work()
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    os.close(entry)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def records() -> Iterator[ContainerRecords]:
    if os.geteuid() != 0:
        pytest.skip("to become another user needs root")
    folder = Path(tempfile.mkdtemp(prefix="hl-r-"))  # a socket's path may have 107 bytes
    records = ContainerRecords(folder / "containers", others=True)
    yield records
    for record in records.all():
        tmpfs.unmount(records.run_folder(record.id))
    shutil.rmtree(folder)


@pytest.mark.system
def test_its_user_may_write_there_and_no_more_than_a_little(records: ContainerRecords) -> None:
    folder = records.run_folder(records.create(MODULE, "m.sock").id)
    assert as_the_module(folder, Path("alive").touch) == 0
    assert (folder / "alive").stat().st_uid == DEFAULT_USER[0]
    assert as_the_module(folder, lambda: Path("much").write_bytes(bytes(2 << 20))) == errno.ENOSPC


@pytest.mark.system
def test_the_agents_socket_stays_where_it_is(records: ContainerRecords) -> None:
    folder = records.run_folder(records.create(MODULE, "m.sock").id)
    with bind(folder / "agent.sock"):
        assert as_the_module(folder, Path("agent.sock").unlink) == errno.EPERM
        assert as_the_module(folder, lambda: Path("agent.sock").replace("mine")) == errno.EPERM


@pytest.mark.system
def test_it_is_gone_with_the_container(records: ContainerRecords) -> None:
    record = records.create(MODULE, "m.sock")
    home = records.home(record.id)
    assert records.run_folder(record.id).is_mount()
    records.remove(record.id)
    assert not home.exists()


@pytest.mark.system
def test_negative_control_a_folder_of_the_agents_alone_takes_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("to become another user needs root")
    plain = ContainerRecords(tmp_path / "containers")
    folder = plain.run_folder(plain.create(MODULE, "m.sock").id)
    assert as_the_module(folder, Path("alive").touch) == errno.EACCES


def test_what_stands_in_the_place_of_a_lock_is_none(tmp_path: Path) -> None:
    """A pipe without another end would hold the agent up for ever; a link could lead anywhere."""
    pipe, link, lock = tmp_path / "pipe", tmp_path / "link", tmp_path / "lock"
    os.mkfifo(pipe)
    answers: list[bool] = []
    asks = threading.Thread(target=lambda: answers.append(is_locked(pipe)), daemon=True)
    asks.start()
    asks.join(10)
    assert answers == [False]
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        link.symlink_to(lock)
        assert is_locked(lock)
        assert not is_locked(link)
    assert not is_locked(lock)


def test_a_link_in_the_place_of_a_socket_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    place = tmp_path / ".agent.sock"
    place.symlink_to(secret)
    with pytest.raises(OSError, match="something else"):
        listeners._open_to(place, 0o666)
    assert secret.stat().st_mode & 0o777 == 0o600
