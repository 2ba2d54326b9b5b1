"""MLflow as a peer: installed beside the project, and its tracking server as a process.

The versions are those of ``peers.txt``, which `make lock` chooses anew; the environment is
``build/peers``, made once for each content of that file.
"""

import hashlib
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from simulators.demo.stage import free_port

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "benchmarks" / "peers.txt"
FOLDER = ROOT / "build" / "peers"
START_TIMEOUT_S = 300.0  # its first start makes a database, and reads hundreds of megabytes of code
STOP_TIMEOUT_S = 20.0
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
API = "/api/2.0/mlflow/experiments/search?max_results=1"


def peer_program(name: str) -> Path:
    """Return a program of the peers' environment, which is made where it is missing or outdated."""
    stamp, wanted = FOLDER / ".installed", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        sys.stderr.write(f"installing the peers into {FOLDER} (once)\n")
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, FOLDER], check=True)
        where = str(FOLDER / "bin" / "python")
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", where, "--require-hashes", "-r", LOCK], check=True
        )
        stamp.write_text(wanted)
    return FOLDER / "bin" / name


def peer_environment(**more: str) -> dict[str, str]:
    """Return the environment of a peer: nothing of it phones home."""
    return {**os.environ, **QUIET, **more}


@dataclass(frozen=True)
class Tls:
    """A server's certificate and key, and the CA that a client checks it by."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True)
class MlflowServer:
    """A running tracking server: its address, its first process, and how long its start took."""

    url: str
    pid: int
    started_in_s: float


@contextmanager
def mlflow_server(
    folder: Path, *, workers: int | None = None, tls: Tls | None = None, jobs: bool = True
) -> Iterator[MlflowServer]:
    """Run ``mlflow server`` over SQLite and a folder, artifacts through it; stopped with all its processes.

    ``jobs`` False: without the processes that wait for background jobs, which it starts by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        str(peer_program("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    if workers is not None:
        command += ["--workers", str(workers)]
    if tls is not None:
        command += ["--uvicorn-opts", f"--ssl-certfile {tls.certificate} --ssl-keyfile {tls.key}"]
    url = f"http{'s' if tls else ''}://localhost:{port}"
    environment = peer_environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION=str(jobs).lower())
    with (folder / "server.log").open("ab") as log:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_for_answer(url + API, {}, tls.ca if tls else None, process)
        yield MlflowServer(url, process.pid, time.perf_counter() - began_s)
    finally:
        _end(process)


def wait_for_answer(
    url: str, headers: dict[str, str], ca: Path | None, process: "subprocess.Popen[bytes] | None" = None
) -> None:
    """Ask every 10 ms until the answer is 200; raises `RuntimeError` where none comes."""
    tls = ssl.create_default_context(cafile=ca) if ca is not None else None
    gives_up_at_s = time.monotonic() + START_TIMEOUT_S
    request = urllib.request.Request(url, headers=headers)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5, context=tls) as response:
                response.read()
                return
        except OSError as error:  # refused, not ready (an HTTP error is one too), or cut off
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > gives_up_at_s:
                raise RuntimeError(f"{url} never answered: {error}") from error
            time.sleep(0.01)


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and everything below it."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def _end(process: "subprocess.Popen[bytes]") -> None:
    processes = tree(process.pid) if process.poll() is None else []
    for one in processes[:1]:
        one.terminate()
    _, left = psutil.wait_procs(processes, timeout=STOP_TIMEOUT_S)
    for one in left:
        one.kill()
    process.wait()
