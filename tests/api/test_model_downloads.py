"""Fetching models over HTTPS: ranges, and downloads that go on where they were cut."""

from pathlib import Path

import httpx
import pytest

from cloud_hub.sdk import SdkError, Workspace
from tests.api.conftest import World, bearer
from tests.api.models import MODELS, folder_model
from tests.api.models import scale as scale  # noqa: PLC0414  a fixture


def fetch(world: World, token: str, **headers: str) -> httpx.Response:
    return world.client.get(f"{MODELS}/scale:1/files/scale.onnx", headers=bearer(token) | headers)


def test_a_file_is_fetched_in_ranges(world: World, shop: Workspace, token: str, scale: Path) -> None:
    data, size = scale.read_bytes(), scale.stat().st_size
    model = shop.register_model("scale", scale)
    whole = fetch(world, token)
    assert (whole.status_code, whole.content, whole.headers["ETag"]) == (200, data, f'"{model.digest}"')
    for asked, part in {
        "bytes=0-4": data[:5],
        "bytes=10-": data[10:],
        "bytes=-7": data[-7:],
        f"bytes=5-{size * 2}": data[5:],
        f"bytes=-{size * 2}": data,
    }.items():
        answer = fetch(world, token, Range=asked)
        assert (answer.status_code, answer.content) == (206, part), asked
        assert answer.headers["Content-Range"].endswith(f"/{size}")
    for asked in (f"bytes={size}-", "bytes=9-5", "bytes=-0"):
        answer = fetch(world, token, Range=asked)
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    for ignored in ("bytes=0-1,4-5", "lines=1-2", "bytes=-"):
        assert fetch(world, token, Range=ignored).status_code == 200
    other = fetch(world, token, Range="bytes=0-4", **{"If-Range": '"sha256:other"'})
    assert (other.status_code, other.content) == (200, data)
    assert fetch(world, token, **{"If-None-Match": f'"{model.digest}"'}).status_code == 304
    head = world.client.head(f"{MODELS}/scale:1/files/scale.onnx", headers=bearer(token))
    assert (head.headers["Content-Length"], head.content) == (str(size), b"")
    assert world.client.get(f"{MODELS}/scale:1/files/other", headers=bearer(token)).status_code == 404


def test_a_download_goes_on_where_it_was_cut(shop: Workspace, tmp_path: Path) -> None:
    folder = folder_model(tmp_path)
    model = shop.register_model("whole", folder)
    big = next(file for file in model.files if file.path == "big.bin")
    root = tmp_path / "to/whole-1"
    root.mkdir(parents=True)
    part = root / f".big.bin.{big.digest[-12:]}.part"
    part.write_bytes((folder / "big.bin").read_bytes()[:1_000_000])
    told: list[int] = []
    shop.download_model("whole:1", tmp_path / "to", moved=lambda done, size: told.append(done))
    assert min(told) > 1_000_000
    assert (root / "big.bin").read_bytes() == (folder / "big.bin").read_bytes()
    assert not part.exists()


def test_a_part_file_with_other_bytes_never_becomes_the_model(shop: Workspace, tmp_path: Path) -> None:
    model = shop.register_model("whole", folder_model(tmp_path))
    big = next(file for file in model.files if file.path == "big.bin")
    root = tmp_path / "to/whole-1"
    root.mkdir(parents=True)
    part = root / f".big.bin.{big.digest[-12:]}.part"
    part.write_bytes(b"x" * 1000)
    with pytest.raises(SdkError, match="digest"):
        shop.download_model("whole:1", tmp_path / "to")
    assert not (root / "big.bin").exists()
    shop.download_model("whole:1", tmp_path / "to")
    assert (root / "big.bin").stat().st_size == big.size_bytes
