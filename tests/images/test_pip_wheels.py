"""pip's downloads: kept, checked, and quiet about credentials."""

import shutil
from pathlib import Path

import pytest

from cloud_hub.images.build import PipWheelSource, WheelDownloadError
from cloud_hub.images.build.bases import native_target as native
from cloud_hub.images.build.errors import BuildCancelledError
from contract.digests import hex_of


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip finds nothing anywhere."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.mark.usefixtures("offline")
def test_what_is_in_the_cache_needs_no_network(wheels_dir: Path) -> None:
    wheels = PipWheelSource(wheels_dir).wheels(native())
    assert {wheel.filename.split("-")[0] for wheel in wheels} >= {"numpy", "onnxruntime", "msgspec"}
    assert all(wheel.path.name == f"{hex_of(wheel.digest)}.whl" for wheel in wheels)


@pytest.mark.usefixtures("offline")
def test_a_damaged_wheel_in_the_cache_is_not_used(wheels_dir: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(wheels_dir, cache)
    PipWheelSource(cache).wheels(native())
    small = min(cache.glob("*.whl"), key=lambda path: path.stat().st_size)
    small.write_bytes(small.read_bytes()[:-1])
    with pytest.raises(WheelDownloadError):
        PipWheelSource(cache).wheels(native())


@pytest.mark.usefixtures("offline")
def test_the_error_has_pips_reason_and_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    hash_of_nothing = "0" * 64
    lock.write_text(
        "part @ http://ann:very-secret@127.0.0.1:9/part-1-py3-none-any.whl?token=also-secret "
        f"--hash=sha256:{hash_of_nothing}\n"
    )
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(WheelDownloadError, match="pip could not download") as caught:
        PipWheelSource(tmp_path / "cache", pinned=lock).wheels(native())
    assert caught.value.retriable
    assert "127.0.0.1" in str(caught.value) or "refused" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == []


def test_a_cancelled_download_kills_pip_and_leaves_nothing(tmp_path: Path) -> None:
    looks = iter([False, True])
    with pytest.raises(BuildCancelledError):
        PipWheelSource(tmp_path, cancelled=lambda: next(looks)).wheels(native())
    assert list(tmp_path.iterdir()) == []
