"""Container engines as their makers ship them, each started by hand in a folder, on no one else's sockets."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 30
CONTAINERD = """version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/containerd.sock"
"""


@contextmanager
def containerd() -> Iterator[tuple[str, ...]]:
    """Run containerd; yield the first words of its client ``ctr``."""
    with _folder() as folder:
        (folder / "config.toml").write_text(CONTAINERD.format(folder=folder))
        command = ["containerd", "--config", str(folder / "config.toml")]
        with _daemon(command, folder, "containerd.sock") as address:
            yield "ctr", "--address", str(address)


@contextmanager
def docker() -> Iterator[tuple[str, ...]]:
    """Run Docker's engine without a bridge; yield the first words of its client."""
    # Debian's own client: another in front of it on the path may be of another age.
    client = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else str(shutil.which("docker"))
    with docker_socket() as address:
        yield client, "--config", str(address.parent / "client"), "--host", f"unix://{address}"


@contextmanager
def docker_socket() -> Iterator[Path]:
    """Run Docker's engine without a bridge; yield the socket of its API."""
    with _folder() as folder, _daemon(_dockerd(folder), folder, "docker.sock") as address:
        yield address


@contextmanager
def podman_socket() -> Iterator[Path]:
    """Run Podman's engine with runc; yield the socket of its API, which is Docker's."""
    with _folder() as folder:
        command = ["podman", "--root", str(folder / "root"), "--runroot", str(folder / "run")]
        command += ["--tmpdir", str(folder / "tmp"), "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
        command += ["system", "service", "--time=0", f"unix://{folder}/podman.sock"]
        with _daemon(command, folder, "podman.sock") as address:
            yield address


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of a short name: the engines' own sockets in it may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="hl-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _dockerd(folder: Path) -> list[str]:
    command = ["dockerd", "--data-root", str(folder / "root"), "--exec-root", str(folder / "exec")]
    command += ["--pidfile", str(folder / "pid"), "--host", f"unix://{folder}/docker.sock"]
    return [*command, "--iptables=false", "--bridge=none"]


@contextmanager
def _daemon(command: list[str], folder: Path, name: str) -> Iterator[Path]:
    with (folder / "log").open("wb") as log:
        # Podman's helper leaves a file `oom` in its working folder when a container's memory ran out.
        running = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder)
    try:
        _until_answering(folder / name, running, folder / "log")
        yield folder / name
    finally:
        running.terminate()
        running.wait(START_S)
        for mount in _mounts(folder):
            subprocess.run(["umount", "--lazy", mount], check=False)


def _until_answering(address: Path, running: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while running.poll() is None and time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as door:
            try:
                door.connect(str(address))
            except OSError:
                time.sleep(0.1)
            else:
                return
    raise AssertionError(log.read_text())


def _mounts(folder: Path) -> list[str]:
    """Return what is mounted below a folder, the innermost first."""
    rows = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((row for row in rows if row.startswith(f"{folder}{os.sep}")), reverse=True)
