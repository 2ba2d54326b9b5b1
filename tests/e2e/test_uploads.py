"""A hub that is killed in the middle of an upload, and one that is killed while it deletes."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from cloud_hub.sdk import Hub, HubUnreachableError
from cloud_hub.sdk.transfer import look_at, upload
from simulators.demo.stage import Stage

SIZE_BYTES = 192 * 1024 * 1024
REACHED_BYTES = 48 * 1024 * 1024


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    stage.make_hub()
    stage.headland("workspace", "create", "shop")
    yield stage
    assert stage.close() == [], "processes were left behind"


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    block = hashlib.sha256(b"seed").digest() * 32768
    with path.open("wb") as file:
        for number in range(SIZE_BYTES // len(block)):
            file.write(number.to_bytes(8, "big") + block[8:])
    return path


def offset(stage: Stage) -> int:
    """Return how far the hub's database says that the upload is."""
    engine = create_engine(f"sqlite:///{stage.folder / 'hub' / 'hub.db'}")
    with engine.connect() as connection:
        found = connection.execute(text("SELECT max(offset_bytes) FROM uploads")).scalar()
    engine.dispose()
    return int(found or 0)


class Sent:
    """Counts the bytes that a client sends, and kills the hub once at a point."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.offsets: list[int] = []
        self.killed = threading.Event()

    def __call__(self, done_bytes: int, _size_bytes: int) -> None:
        self.offsets.append(done_bytes)
        if done_bytes > REACHED_BYTES and not self.killed.is_set():
            while offset(self.stage) == 0:  # a block is on its way to the disk
                time.sleep(0.01)
            self.stage.hub.kill()
            self.killed.set()


def test_an_upload_goes_on_after_the_hub_was_killed(stage: Stage, big: Path, tmp_path: Path) -> None:
    file, sent = look_at(big), Sent(stage)

    def start_again() -> None:
        sent.killed.wait(60)
        stage.hub.start("hub ready")

    starter = threading.Thread(target=start_again)
    starter.start()
    with Hub.connect() as hub:
        upload(hub.workspace()._client, "shop", file, sent)
        starter.join()
        back = [
            after for before, after in zip(sent.offsets, sent.offsets[1:], strict=False) if after < before
        ]
        assert len(back) == 1, "it went back once, to what the hub had on disk"
        assert 0 < back[0] <= sent.offsets[-1]
        workspace = hub.workspace()
        model = workspace.register_model("big", big, framework="custom")
        assert model.digest == file.digest
        fetched = workspace.download_model("big:1", tmp_path / "to")
    assert look_at(fetched).digest == file.digest


def test_a_new_client_goes_on_after_both_were_killed(stage: Stage, big: Path) -> None:
    file, sent = look_at(big), Sent(stage)
    with Hub.connect() as hub, pytest.raises(HubUnreachableError):
        upload(hub.workspace()._client, "shop", file, sent, patience_s=0.0)
    kept = offset(stage)
    assert 0 < kept <= sent.offsets[-1]
    stage.hub.start("hub ready")
    told: list[int] = []
    with Hub.connect() as hub:
        upload(hub.workspace()._client, "shop", file, lambda done, size: told.append(done))
    assert told[0] == kept, "nothing of what the hub had was sent again"
    assert told[-1] == SIZE_BYTES
