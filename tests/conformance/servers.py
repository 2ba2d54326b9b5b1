"""Object-store servers on loopback: moto for S3 (and GCS's alike API), Azurite for Azure Blob."""

import base64
import hashlib
import hmac
import http.client
import re
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from cloud_hub.blobs.opening import Patience, open_store
from cloud_hub.blobs.port import ObjectStore

AZURITE = Path(__file__).parents[1] / "azurite" / "node_modules" / ".bin" / "azurite-blob"
LISTENS = re.compile(r"successfully listens on http://127\.0\.0\.1:(\d+)")
BUCKET = "box"
# Azurite's own published account, as in its documentation.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SHORT = Patience(connect_s=2, request_s=20, tries=2, all_tries_s=20, longest_pause_s=0.2)


@dataclass(frozen=True)
class Service:
    """A server's address and what a store at a fresh prefix of it is opened with."""

    kind: str
    port: int
    credentials: dict[str, str]

    def url(self, port: int = 0, prefix: str = "") -> str:
        """Return the address of a store: at ``prefix``, else at one of its own."""
        prefix = prefix or f"p/{uuid.uuid4().hex}"
        endpoint = f"http://127.0.0.1:{port or self.port}"
        if self.kind == "az":
            return f"az://{BUCKET}/{prefix}?account={ACCOUNT}&endpoint={endpoint}/{ACCOUNT}"
        return f"{self.kind}://{BUCKET}/{prefix}?endpoint={endpoint}"

    def open(self, url: str = "") -> ObjectStore:
        """Open a store; each has a prefix of its own unless ``url`` says it."""
        return open_store(url or self.url(), self.credentials, SHORT)


@contextmanager
def s3() -> Iterator[Service]:
    """Run moto; it does not check signatures."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        assert _request(port, f"/{BUCKET}", {}) == 200
        yield Service("s3", port, {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "s3-hidden"})
    finally:
        server.stop()


@contextmanager
def azure(folder: Path) -> Iterator[Service]:
    """Run Azurite, which does check signatures; skips where it is not installed."""
    if not AZURITE.exists() or shutil.which("node") is None:
        pytest.skip("Azurite is not installed: npm ci --prefix tests/azurite")
    with subprocess.Popen(
        [
            str(AZURITE),
            *("--blobHost", "127.0.0.1", "--blobPort", "0"),
            *("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            told = (LISTENS.search(line) for line in process.stdout)
            port = next((int(found[1]) for found in told if found), 0)
            assert port, "Azurite did not start"
            assert _make_container(port) == 201
            yield Service("az", port, {"AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY})
        finally:
            process.kill()


def _make_container(port: int) -> int:
    """Create the container by a request with a shared-key signature."""
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    version = "2021-08-06"
    text = "PUT\n" + "\n" * 11 + f"x-ms-date:{date}\nx-ms-version:{version}\n"
    text += f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    mac = hmac.new(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)
    signature = base64.b64encode(mac.digest()).decode()
    headers = {
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey {ACCOUNT}:{signature}",
    }
    return _request(port, f"/{ACCOUNT}/{BUCKET}?restype=container", headers)


def _request(port: int, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("PUT", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


class Cable:
    """A line to a server that counts bytes and can be cut, or cut and left to be dialled again."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.bytes_down = 0
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        """Break what is connected; new connections work."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut(self) -> None:
        """Break what is connected, and refuse what comes."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._server_port))
            with self._lock:
                self._ends += [near, far]
            for source, target, down in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._carry, args=(source, target, down), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, down: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if down:
                    self.bytes_down += len(data)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def cable_to(service: Service) -> Iterator[Cable]:
    """Lay a cable to a server."""
    cable = Cable(service.port)
    try:
        yield cable
    finally:
        cable.cut()
