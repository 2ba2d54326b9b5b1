"""Builds through the hub's own doors: options, what is attached to an image, and images as files."""

import hashlib
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloud_hub.cli.app import app
from cloud_hub.images.build import PipWheelSource
from cloud_hub.images.build.bases import native_target
from cloud_hub.sdk import HubRefusedError
from cloud_hub.sdk.context import save_context
from cloud_hub.sdk.errors import SdkError
from contract import oci
from contract.digests import hex_of, sha256
from tests.images.sdists import MARK, backed, index_of
from tests.images.shop import PYPROJECT, SCRIPT, Shop


def _document(shop: Shop, what: str) -> Any:
    return json.loads(shop.workspace.image_document("double:1", what))


def test_the_image_says_how_it_was_built(shop: Shop) -> None:
    assert (shop.image.base, shop.image.compression) == ("host", "zstd")
    (one,) = shop.image.platforms
    assert one.platform == f"linux/{oci.architecture_of(os.uname().machine)}"
    assert [layer.title for layer in one.layers][-1] == "scoring script"
    assert any("Layer 1 of" in line for line in shop.log)
    assert list((shop.data_dir / "work").iterdir()) == []


def test_the_sbom_lists_every_package_with_version_digest_and_address(shop: Shop) -> None:
    found = _document(shop, "sbom")
    assert found["spdxVersion"] == "SPDX-2.3"
    packages = {one["name"]: one for one in found["packages"]}
    numpy = packages["numpy"]
    assert numpy["externalRefs"][0]["referenceLocator"] == f"pkg:pypi/numpy@{numpy['versionInfo']}"
    assert "BSD-3-Clause" in numpy["licenseDeclared"]
    lock = _document(shop, "lock")
    (wheels,) = lock["wheels"].values()
    for wheel in wheels:
        assert packages[wheel["name"]]["checksums"] == [
            {"algorithm": "SHA256", "checksumValue": hex_of(wheel["digest"])}
        ]
    assert "tomli-w" in packages
    assert packages["double"]["versionInfo"] == "1"
    ids = [one["SPDXID"] for one in found["packages"]]
    assert len(ids) == len(set(ids))
    assert {one["relatedSpdxElement"] for one in found["relationships"]} == set(ids)


def test_the_provenance_names_the_image_and_its_inputs(shop: Shop) -> None:
    found = _document(shop, "provenance")
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    digests = {one["digest"]["sha256"] for one in found["subject"]}
    assert digests == {hex_of(shop.image.digest), hex_of(shop.image.platforms[0].digest)}
    inputs = found["predicate"]["buildDefinition"]["resolvedDependencies"]
    named = {one["name"]: one["digest"]["sha256"] for one in inputs}
    assert named["file:pyproject"] == hashlib.sha256(PYPROJECT).hexdigest()
    assert {"file:model", "file:score.py"} <= named.keys()
    assert found["predicate"]["runDetails"]["metadata"]["invocationId"] == shop.image.activity


def test_the_build_log_is_attached(shop: Shop) -> None:
    text = shop.workspace.image_document("double:1", "log").decode()
    assert "Fetching Python dependencies" in text
    assert text.endswith("Done\n")


def test_the_lock_gives_the_same_image_without_the_index(shop: Shop, tmp_path: Path) -> None:
    lock = tmp_path / "lock.json"
    lock.write_bytes(shop.workspace.image_document("double:1", "lock"))
    script = tmp_path / "other-name.py"
    script.write_bytes(SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        again = shop.workspace.build_image("double", "double:1", script, compression="zstd", lock=lock)
    assert (again.version, again.digest) == (2, shop.image.digest)


def test_what_cannot_be_built_is_refused_at_once(shop: Shop, tmp_path: Path) -> None:
    build = shop.workspace.start_build
    for code, options in (
        ("image-option-refused", {"platforms": ["linux/riscv64"]}),
        ("image-option-refused", {"platforms": ["linux/amd64", "linux/arm64"]}),
        ("image-option-refused", {"base": "windows"}),
    ):
        with pytest.raises(HubRefusedError) as caught:
            build("double", "double:1", **options)
        assert caught.value.code == code
    bad = tmp_path / "requirements.txt"
    bad.write_text("--index-url https://elsewhere.example\nnumpy\n")
    with pytest.raises(HubRefusedError, match="pip configuration"):
        build("double", "double:1", requirements=bad)
    with pytest.raises(HubRefusedError, match="not a lock"):
        build("double", "double:1", lock=bad)
    with pytest.raises(SdkError, match="one file"):
        build("double", "double:1", lock=bad, requirements=bad)


def test_a_build_is_cancelled_within_a_layer_and_leaves_nothing(shop: Shop, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    for number in range(3):
        (big / f"{number}.bin").write_bytes(os.urandom(40 << 20))
    shop.workspace.register_model("big", big, framework="other")
    script = tmp_path / "score.py"
    script.write_bytes(SCRIPT)
    begun = shop.workspace.start_build("big", "big:1", script, compression="gzip")
    seen = []
    for event in shop.workspace.follow(begun.id):
        seen.append(getattr(event, "text", ""))
        if seen[-1].endswith(": model"):
            shop.workspace.cancel(begun.id)
    assert shop.workspace.activity(begun.id).state == "cancelled"
    assert not any(": scoring script" in line for line in seen)
    assert list((shop.data_dir / "work").iterdir()) == []


def test_what_a_killed_build_left_in_the_cache_is_cleared(shop: Shop) -> None:
    left = shop.data_dir / "cache/wheels/download-abc"
    left.mkdir()
    (left / "half.whl").touch()
    kept = len(list((shop.data_dir / "cache/wheels").glob("*.whl")))
    shop.services.image_builds.clear_leftovers()
    assert not left.exists()
    assert len(list((shop.data_dir / "cache/wheels").glob("*.whl"))) == kept


def test_an_image_is_written_as_an_oci_layout(shop: Shop, tmp_path: Path) -> None:
    target = tmp_path / "double.tar"
    assert shop.workspace.export_image("double:1", target) == target.stat().st_size
    with tarfile.open(target) as tar:
        blobs = {}
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            data = stream.read()
            blobs[member.name] = data
            if member.name.startswith("blobs/"):
                assert hex_of(sha256(data)) == member.name.rpartition("/")[2]
    (entry,) = json.loads(blobs["index.json"])["manifests"]
    assert entry["digest"] == shop.image.digest
    assert len(blobs) == 2 + 3 + len(shop.image.platforms[0].layers)
    with pytest.raises(SdkError, match="zstd"):
        shop.workspace.export_image("double:1", tmp_path / "docker.tar", form="docker")
    with pytest.raises(SdkError, match="not for this platform"):
        shop.workspace.export_image("double:1", tmp_path / "other.tar", platform="linux/s390x")
    assert [path.name for path in tmp_path.iterdir()] == ["double.tar"]


@pytest.mark.system
def test_a_package_without_a_wheel_is_built_where_the_command_allows_it(
    shop: Shop, wheels_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap")
    index = index_of(tmp_path / "index", PipWheelSource(wheels_dir).wheels(native_target()), monkeypatch)
    marker = tmp_path / "marker"
    archive = backed(index, "hl_source", MARK.format(marker=str(marker)))
    needed, lock = tmp_path / "requirements.txt", tmp_path / "lock.json"
    needed.write_text("hl_source\n")
    monkeypatch.setenv("HEADLAND_CONTEXT", str(tmp_path / "context.json"))
    save_context(shop.context)

    def headland(*words: str) -> str:
        result = CliRunner().invoke(app, ["image", *words])
        if result.exception is not None:
            raise result.exception
        return result.output

    build = ("build", "sourced", "--model", "double:1", "--compression", "zstd")
    with pytest.raises(SdkError, match="--allow-source-builds"):
        headland(*build, "--requirements", str(needed))
    assert "sourced:1 built" in headland(*build, "--requirements", str(needed), "--allow-source-builds")
    assert not marker.exists()
    document = shop.workspace.image_document
    assert "Building hl-source 1.0 from source, in a sandbox" in document("sourced:1", "log").decode()
    told = json.loads(document("sourced:1", "provenance"))["predicate"]["buildDefinition"]
    assert told["externalParameters"]["allow_source_builds"] is True
    inputs = {one["name"]: one["digest"]["sha256"] for one in told["resolvedDependencies"]}
    assert inputs[archive.filename] == hex_of(archive.digest)
    packages = {one["name"]: one for one in json.loads(document("sourced:1", "sbom"))["packages"]}
    assert archive.digest in packages["hl-source"]["sourceInfo"]

    # The same once more: by the lock without the option, and from nothing that was kept.
    lock.write_bytes(document("sourced:1", "lock"))
    headland(*build, "--lock", str(lock))
    for path in (shop.data_dir / "cache/wheels").glob("*.json"):
        path.unlink()
    headland(*build, "--requirements", str(needed), "--allow-source-builds")
    digests = {shop.workspace.image(f"sourced:{version}").digest for version in (1, 2, 3)}
    assert len(digests) == 1
    assert list((shop.data_dir / "work").iterdir()) == []
    assert [one for one in (shop.data_dir / "cache/wheels").iterdir() if one.is_dir()] == []
