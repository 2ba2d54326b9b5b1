"""Remote stores when the line breaks, the writer dies, or the server says no. Nothing secret is told."""

import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.api.problems import status_of
from cloud_hub.blobs.errors import StoreError
from cloud_hub.blobs.opening import open_store
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.blobs.remote import PART_BYTES
from tests.conformance.servers import ACCOUNT_KEY, AZURITE, SHORT, Service, cable_to

BIG = PART_BYTES * 3 + 7


def half_put(url: str, credentials: dict[str, str], key: str, pipe: Path) -> None:
    """Kill a process amid `put_file`, when it has read all but the end of a large file."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.putter", url, key, str(pipe)],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(credentials).encode())
        process.stdin.close()
        with pipe.open("wb", buffering=0) as source:
            source.write(bytes(BIG))
            process.kill()
            process.wait(20)


def test_a_killed_writer_leaves_nothing(service: Service, pipe: Path) -> None:
    url = service.url()
    half_put(url, service.credentials, "a/f", pipe)
    store = service.open(url)
    assert (store.exists("a/f"), list(store.keys("a"))) == (False, [])


def test_a_killed_writer_leaves_what_was_there(tmp_path: Path, pipe: Path, s3_service: Service) -> None:
    for url, credentials in (
        (str(tmp_path / "objects"), {}),
        (s3_service.url(), s3_service.credentials),
    ):
        store = open_store(url, credentials)
        store.put_bytes("f", b"old")
        half_put(url, credentials, "f", pipe)
        assert (store.size("f"), list(store.keys("a"))) == (3, [])


def test_a_line_cut_amid_an_upload_leaves_nothing(service: Service, pipe: Path) -> None:
    prefix = "cut/amid"
    failed: list[BaseException] = []
    with cable_to(service) as cable:
        store = service.open(service.url(cable.port, prefix))

        def put() -> None:
            try:
                store.put_file("f", pipe)
            except StoreError as error:
                failed.append(error)

        thread = threading.Thread(target=put)
        thread.start()
        with pipe.open("wb", buffering=0) as source:
            source.write(bytes(BIG))
            cable.cut()
        thread.join(60)
    assert len(failed) == 1
    assert not service.open(service.url(prefix=prefix)).exists("f")


def test_a_server_that_is_gone_is_a_passing_error(service: Service, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with cable_to(service) as cable:
        store = service.open(service.url(cable.port))
        store.put_bytes("f", bytes(PART_BYTES + 10))
        reading = store.open("f")
        cable.cut()
        for call in calls(store, tmp_path / "file"):
            with pytest.raises(StoreError) as caught:
                call()
            assert (caught.value.retriable, status_of(caught.value)) == (True, 503)
        with pytest.raises(StoreError):
            reading.read()


def test_a_read_goes_on_after_a_broken_line(service: Service) -> None:
    data = os.urandom(BIG)
    with cable_to(service) as cable:
        store = service.open(service.url(cable.port))
        store.put_bytes("f", data)
        with store.open("f") as file:
            first = file.read(100)
            cable.drop()
            assert first + file.read() == data


def test_a_read_fetches_what_is_read_and_a_block_at_most(service: Service) -> None:
    with cable_to(service) as cable:
        store = service.open(service.url(cable.port))
        store.put_bytes("f", bytes(BIG))
        before = cable.bytes_down
        with store.open("f", PART_BYTES) as file:
            assert len(file.read(1000)) == 1000
        assert cable.bytes_down - before < PART_BYTES + 100_000
        store.open("f").read()
        assert cable.bytes_down - before > BIG  # the counter counts


def test_an_object_replaced_amid_a_read_is_no_mixture(service: Service) -> None:
    store = service.open()
    store.put_bytes("f", b"1" * BIG)
    with store.open("f") as file:
        assert file.read(10) == b"1" * 10
        store.put_bytes("f", b"2" * BIG)
        with pytest.raises(StoreError):
            file.read()


def test_no_bucket_is_told_as_such(s3_service: Service) -> None:
    url = s3_service.url().replace("s3://box/", "s3://nobody-made-this/")
    store = open_store(url, s3_service.credentials, SHORT)
    with pytest.raises(StoreError, match="not there"):
        store.put_bytes("f", b"1")
    with pytest.raises(StoreError, match="not there"):
        list(store.keys("f"))


@pytest.mark.system
def test_a_wrong_key_is_refused_by_azurite_and_told(azure_service: Service) -> None:
    wrong = ACCOUNT_KEY.replace("Eby8", "Eby9")
    store = open_store(azure_service.url(), {"AZURE_STORAGE_ACCOUNT_KEY": wrong}, SHORT)
    with pytest.raises(StoreError, match="refused our credentials"):
        store.put_bytes("f", b"1")
    assert AZURITE.exists()


SECRETS = {
    "s3": {"AWS_ACCESS_KEY_ID": "AKIDPLAIN", "AWS_SECRET_ACCESS_KEY": "hush-secret-access"},
    "az": {"AZURE_STORAGE_SAS_TOKEN": "sv=2020-08-04&sp=rw&sig=hush-signature"},
    "gs": {"GOOGLE_BEARER_TOKEN": "hush-bearer"},
}


@contextmanager
def refusing(status: int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Run a server that answers all with ``status`` and the request itself; give address and requests."""
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told = f"{self.path} {self.headers}".encode()
            seen.append((self.path, str(self.headers)))
            self.send_response(status)
            self.send_header("Content-Length", "0" if self.command == "HEAD" else str(len(told)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(told)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


def address(kind: str, endpoint: str) -> str:
    account = "account=acc&" if kind == "az" else ""
    return f"{kind}://box/p?{account}endpoint={endpoint}"


def calls(store: ObjectStore, file: Path) -> list[Any]:
    return [
        lambda: store.put_bytes("f", b"1"),
        lambda: store.put_file("f", file),
        lambda: store.open("f").read(),
        lambda: store.size("f"),
        lambda: store.exists("f"),
        lambda: store.delete("f"),
        lambda: list(store.keys("f")),
    ]


def tells_a_secret(error: BaseException) -> bool:
    text = "".join(traceback.format_exception(error)) + repr(error)
    return any(word in text for word in ("hush", "AKIDPLAIN", "Signature"))


@pytest.mark.parametrize("status", [401, 403, 500])
@pytest.mark.parametrize("kind", ["s3", "az", "gs"])
def test_no_error_tells_a_secret(kind: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with refusing(status) as (endpoint, seen):
        store = open_store(address(kind, endpoint), SECRETS[kind], SHORT)
        for call in calls(store, tmp_path / "file"):
            with pytest.raises(StoreError) as caught:
                call()
            assert not tells_a_secret(caught.value)
        assert any("hush" in path + headers or "AKIDPLAIN" in headers for path, headers in seen)
    assert "hush" not in repr(store)


def test_a_planted_secret_in_an_error_is_found() -> None:
    assert tells_a_secret(StoreError("sig=hush"))
    chained = StoreError("failed")
    chained.__cause__ = ValueError("hush")
    assert tells_a_secret(chained)
    assert not tells_a_secret(StoreError("failed"))


AMBIENT = {
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "AMBIENT",
    "AWS_SECRET_ACCESS_KEY": "AMBIENT",
    "AWS_SESSION_TOKEN": "AMBIENT",
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    "AZURE_ENDPOINT": "http://127.0.0.1:9",
    "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=AMBIENT",
    "AZURE_SKIP_SIGNATURE": "true",
    "AZURE_STORAGE_USE_EMULATOR": "true",
    "GOOGLE_BASE_URL": "http://127.0.0.1:9",
    "GOOGLE_BEARER_TOKEN": "AMBIENT",
    "GOOGLE_SKIP_SIGNATURE": "true",
}


@pytest.mark.parametrize("kind", ["s3", "az", "gs"])
def test_what_is_in_the_environment_does_not_decide(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)
    with refusing(403) as (endpoint, seen):
        store = open_store(address(kind, endpoint), SECRETS[kind], SHORT)
        with pytest.raises(StoreError):
            store.size("f")
        path, headers = seen[-1]
    assert path.startswith("/box/p")
    assert "hush" in path + headers or "AKIDPLAIN" in headers
    assert "AMBIENT" not in path + headers
