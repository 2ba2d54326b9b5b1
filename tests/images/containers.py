"""An image in a container without any network, and HTTP over its socket."""

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.images.conftest import Built

INFER = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]})


def let_pass(rootfs: Path) -> None:
    """Let the container's user pass through the folders of pytest above ``rootfs``."""
    for parent in (rootfs.parent, rootfs.parent.parent, rootfs.parent.parent.parent):
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o001)


@contextmanager
def container(
    built: Built, rootfs: Path, folder: Path, name: str
) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Run the image as configured, without any network; yields the socket's folder and the process."""
    config = built.document(built.image.manifests[0].config_digest)["config"]
    shared = folder / "shared"
    shared.mkdir()
    os.chown(shared, 65532, 65532)
    uid, gid = map(int, config["User"].split(":"))
    spec: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": uid, "gid": gid},
            "args": config["Entrypoint"],
            "env": [*config["Env"], "HEADLAND_LISTEN=unix:/run/headland/score.sock"],
            "cwd": config.get("WorkingDir", "/"),
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "root": {"path": str(rootfs), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {
                "destination": "/run/headland",
                "type": "bind",
                "source": str(shared),
                "options": ["bind", "rw"],
            },
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }
    (folder / "config.json").write_text(json.dumps(spec))
    runc = ["runc", "--root", str(folder / "state")]
    log = (folder / "log").open("wb")
    with log, subprocess.Popen([*runc, "run", "-b", str(folder), name], stdout=log, stderr=log) as running:
        try:
            yield shared, running
        finally:
            subprocess.run([*runc, "kill", name, "TERM"], check=False, capture_output=True)
            try:
                running.wait(20)
            finally:
                subprocess.run([*runc, "delete", "-f", name], check=False, capture_output=True)


def ask(path: Path, method: str, url: str, body: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    try:
        connection.sock.connect(str(path))
        connection.request(method, url, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def until_ready(path: Path, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while running.poll() is None and time.monotonic() < deadline:
        try:
            if ask(path, "GET", "/v2/health/ready")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"never ready: {log.read_text()}")
