"""A real hub over HTTPS, by its commands: a workspace in a bucket, the hub killed in between."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.db.engine import Database
from cloud_hub.telemetry.ingest import Arrived, Ingest
from simulators.demo.stage import Daemon, free_port
from tests.conformance.fixtures import s3_service
from tests.conformance.servers import Service
from tests.e2e.conftest import command
from tests.hub.conftest import add_device
from tests.hub.test_exactly_once import batch

__all__ = ["s3_service"]


@dataclass
class Stage:
    """A hub process of its own, and the commands of its administrator."""

    folder: Path
    daemon: Daemon

    def arrive(self, first: int, last: int) -> None:
        """Store samples of device ``pump-1`` as if the broker had brought them."""
        database = Database(self.folder / "hub" / "hub.db")
        message = batch(first, last)
        Ingest(database).store([Arrived(message.subject.replace("cam-1", "pump-1"), message.payload)])
        database.close()

    def enrol(self, workspace: str) -> None:
        database = Database(self.folder / "hub" / "hub.db")
        add_device(database, workspace, "pump-1")
        database.close()

    def log(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="hl-attach-"))
    monkeypatch.setenv("HEADLAND_CONTEXT", str(folder / "context.json"))
    done = command(
        "headland", "hub", "init", "--data-dir", str(folder / "hub"),
        "--https-port", str(free_port()), "--mqtt-port", str(free_port()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = folder / "hub" / "hub.toml"
    text = settings.read_text()
    for old, new in (
        ("datastore_endpoints = []", 'datastore_endpoints = ["127.0.0.1"]'),
        ('log_level = "info"', 'log_level = "debug"'),
    ):
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text)
    daemon = Daemon("hub", folder, ("headland", "hub", "up", "--data-dir", str(folder / "hub")))
    daemon.start("hub ready")
    yield Stage(folder, daemon)
    daemon.stop()
    shutil.rmtree(folder, ignore_errors=True)


def answer(*arguments: str) -> Any:
    done = command("headland", *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def count() -> int:
    (row,) = answer("telemetry", "query", "SELECT count(*) AS n, count(DISTINCT seq) AS different FROM s")
    assert row["n"] == row["different"], "a sample is there twice"
    return int(row["n"])


def test_a_workspace_lives_in_a_bucket_over_kills_and_switches(stage: Stage, s3_service: Service) -> None:
    url = s3_service.url()
    key = stage.folder / "key.json"
    key.write_text(json.dumps(s3_service.credentials))
    made = command(
        "headland", "workspace", "create", "shop", "--datastore", url,
        "--datastore-secret-file", str(key), "--telemetry-datastore", "default",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    stage.enrol("shop")
    stage.arrive(1, 10)
    assert count() == 10
    stage.arrive(11, 20)
    stage.daemon.kill()
    stage.daemon.start("hub ready")
    assert count() == 20
    assert answer("workspace", "set-telemetry", "hub:")["datastore"] is None
    stage.arrive(21, 25)
    assert count() == 25
    shown = command("headland", "workspace", "show").stdout
    for words in (
        f"files: datastore default, {url}, secret datastore-key",
        "telemetry: the hub's own store",
        "the hub's own store: 1 files, 5 rows",
        "datastore default: ",
        "secrets: the hub's vault",
        "1 devices",
    ):
        assert words in shown, shown
    held = {h["datastore"]: h["rows"] for h in answer("workspace", "show", "shop")["telemetry"]["held"]}
    assert held == {None: 5, "default": 20}
    local = list((stage.folder / "hub" / "objects" / "telemetry").rglob("*.parquet"))
    assert len(local) == 1
    assert not any(value in stage.log() for value in s3_service.credentials.values())


def test_credentials_by_standard_input(stage: Stage, s3_service: Service) -> None:
    program = str(Path(sys.executable).parent / "headland")
    words = ("workspace", "create", "shop", "--datastore", s3_service.url(), "--datastore-secret-file", "-")
    text = json.dumps(s3_service.credentials)
    done = subprocess.run([program, *words], input=text + "\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(answer("secret", "get", "datastore-key")["value"]) == s3_service.credentials
    assert answer("datastore", "files") == []


def test_wrong_use_is_said_and_makes_nothing(stage: Stage, s3_service: Service) -> None:
    refused = command("headland", "workspace", "create", "shop", "--datastore-secret-file", "x")
    assert refused.returncode == 2
    assert "give --datastore too" in refused.stderr
    missing = str(stage.folder / "none")
    refused = command(
        "headland",
        "workspace",
        "create",
        "shop",
        "--datastore",
        s3_service.url(),
        "--datastore-secret-file",
        missing,
    )
    assert refused.returncode == 1
    assert "Check --datastore-secret-file" in refused.stderr
    key = stage.folder / "key.json"
    key.write_text(json.dumps({"AZURE_STORAGE_ACCOUNT_KEY": "canary-of-a-key"}))
    refused = command(
        "headland", "workspace", "create", "shop", "--datastore", s3_service.url(),
        "--datastore-secret-file", str(key),
    )  # fmt: skip
    assert refused.returncode == 1
    assert "[store-config-invalid]" in refused.stderr
    assert "canary-of-a-key" not in refused.stderr + refused.stdout + stage.log()
    assert answer("workspace", "list") == []
