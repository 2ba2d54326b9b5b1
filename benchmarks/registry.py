"""How fast a layer goes into the hub's registry and out of it, beside Debian's docker-registry.

`python -m benchmarks.registry [--mib 256] [--rounds 5] [--folder DIR] [--write]`; prints Markdown, and with
``--write`` puts it into the page. Both speak TLS 1.3 over the loopback with the same certificate and keep the
layer on the same disk; the hub also checks a token, which docker-registry is not asked to.
"""

import argparse
import hashlib
import http.client
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.figures import in_turn, machine, ratios, spread, table
from benchmarks.hub import PAGE, refreshed
from benchmarks.model_transfer import MIB, BigFile
from benchmarks.peers import Tls
from benchmarks.running_hub import running_hub, tls_of
from cloud_hub.sdk.context import load_context
from simulators.demo.stage import free_port

PEER = "docker-registry"
REPOSITORY = "shop/bench"
CHUNK_BYTES = MIB
WAIT_S = 20.0


class Layer:
    """A layer of random bytes in a registry, pushed and pulled by one plain HTTP client."""

    def __init__(self, address: str, tls: Tls, token: str, big: BigFile) -> None:
        self._host = urlsplit(address).netloc
        self._context = ssl.create_default_context(cafile=str(tls.ca))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._big = big
        self._pushed = ""

    def push(self) -> float:
        """Push new bytes as container tools do (POST, PATCH, PUT); MB/s."""
        path = self._big.anew()
        with path.open("rb") as file:
            self._pushed = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        return self._big.mb_per_s(lambda: self._send(path))

    def pull(self) -> float:
        """Pull the bytes that were pushed last, into nothing; MB/s."""
        if not self._pushed:
            self.push()
        return self._big.mb_per_s(self._take)

    def _send(self, path: Path) -> None:
        with closing(self._connection()) as connection:
            location = self._ask(connection, "POST", f"/v2/{REPOSITORY}/blobs/uploads/")
            with path.open("rb") as file:
                location = self._ask(connection, "PATCH", location, self._big.size_bytes, file)
            mark = "&" if "?" in location else "?"
            self._ask(connection, "PUT", f"{location}{mark}digest={self._pushed}")

    def _take(self) -> None:
        with closing(self._connection()) as connection:
            connection.request("GET", f"/v2/{REPOSITORY}/blobs/{self._pushed}", headers=self._headers)
            answer = connection.getresponse()
            taken, buffer = 0, bytearray(CHUNK_BYTES)
            while count := answer.readinto(buffer):
                taken += count
            if (answer.status, taken) != (http.HTTPStatus.OK, self._big.size_bytes):
                raise RuntimeError(f"{self._host} answered {answer.status} with {taken} bytes")

    def _ask(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        where: str,
        size_bytes: int = 0,
        body: object = None,
    ) -> str:
        """Send a request; return the Location that the answer has."""
        parts = urlsplit(where)
        headers = self._headers | {
            "Content-Length": str(size_bytes),
            "Content-Type": "application/octet-stream",
        }
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, path, body, headers)  # type: ignore[arg-type]
        answer = connection.getresponse()
        said = answer.read()
        if answer.status not in {http.HTTPStatus.CREATED, http.HTTPStatus.ACCEPTED}:
            raise RuntimeError(f"{self._host} answered {answer.status}: {said!r}")
        return answer.headers["Location"]

    def _connection(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(self._host, context=self._context, blocksize=CHUNK_BYTES)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


@contextmanager
def docker_registry(folder: Path, tls: Tls) -> Iterator[str]:
    """Run Debian's docker-registry over TLS with its files in ``folder``; yield its address."""
    port = free_port()
    (folder / "files").mkdir(parents=True)
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\nlog:\n  level: error\n"
        f"storage:\n  filesystem:\n    rootdirectory: {folder / 'files'}\n"
        f"http:\n  addr: 127.0.0.1:{port}\n  tls:\n    certificate: {tls.certificate}\n    key: {tls.key}\n"
    )
    log = (folder / "log").open("wb")
    with log, subprocess.Popen([PEER, "serve", str(config)], stdout=log, stderr=log) as process:
        try:
            _until_open(port, process)
            yield f"https://localhost:{port}"
        finally:
            process.terminate()


def _until_open(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{PEER} did not start")


def measure(folder: Path, mib: int, rounds: int) -> dict[str, list[float]]:
    """Return MB/s by way, one figure a round."""
    with ExitStack() as stack:
        stage = stack.enter_context(running_hub(folder / "headland"))
        tls, context = tls_of(stage), load_context()
        peer = stack.enter_context(docker_registry(folder / "peer", tls))
        big = BigFile(folder / "big.bin", mib)
        ours, theirs = Layer(context.hub, tls, context.token, big), Layer(peer, tls, "", big)
        ways: dict[str, Callable[[], float]] = {
            "Headland, push": ours.push,
            f"{PEER}, push": theirs.push,
            "Headland, pull": ours.pull,
            f"{PEER}, pull": theirs.pull,
        }
        return in_turn(ways, rounds)


def lines_of(found: dict[str, list[float]], mib: int) -> Iterator[str]:
    """Yield the table."""
    rounds = len(next(iter(found.values())))
    yield f"A layer of {mib} MiB, {rounds} rounds, {machine()}, TLS for both; median (smallest-largest)"
    yield ""
    rows: list[Sequence[str]] = []
    for doing in ("push", "pull"):
        ours, theirs = found[f"Headland, {doing}"], found[f"{PEER}, {doing}"]
        rows.append([doing, spread(ours).told(0), spread(theirs).told(0), ratios(ours, theirs).told(2)])
    yield from table(["", "Headland, MB/s", f"{PEER}, MB/s", "Headland is so many times as fast"], rows)


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry", description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where files are made; the disk is what is measured"
    )
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    if shutil.which(PEER) is None:
        sys.stderr.write(f"error: {PEER} is not installed (Debian, Ubuntu: apt install {PEER})\n")
        return 1
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        lines = "\n".join(lines_of(measure(Path(name), options.mib, options.rounds), options.mib))
    sys.stdout.write(lines + "\n")
    if options.write:
        PAGE.write_text(refreshed(PAGE.read_text(), "registry", lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
