"""The same inputs give the same bytes, and only what changed is built again."""

import gzip
import hashlib
import json
import tarfile
from pathlib import Path

from backports import zstd

from cloud_hub.images.build import BuildInputs, BuildOptions, build_image
from contract import oci
from contract.digests import hex_of, sha256
from contract.encoding import decode
from tests.images.build_once import NoWheels
from tests.images.conftest import Built


def test_two_builds_in_different_surroundings_give_the_same_bytes(twins: tuple[Built, Built]) -> None:
    one, other = twins
    assert one.image == other.image
    assert one.image.new_layers == len(one.image.layers) == 7
    blobs = sorted(path.name for path in (one.root / "blobs/sha256").iterdir())
    assert blobs == sorted(path.name for path in (other.root / "blobs/sha256").iterdir())
    assert len(blobs) == 7 + 3
    assert one.left_over == other.left_over == ()


def test_two_builds_in_zstd_give_the_same_bytes_and_the_diff_ids_of_gzip(twins: tuple[Built, Built]) -> None:
    one, other = twins
    assert one.in_zstd is not None
    assert one.in_zstd == other.in_zstd
    assert {layer.media_type for layer in one.in_zstd.layers} == {oci.LAYER_ZSTD}
    in_gzip = {layer.title: layer for layer in one.image.layers}
    for layer in one.in_zstd.layers:
        assert layer.diff_id == in_gzip[layer.title].diff_id
        assert layer.digest != in_gzip[layer.title].digest
        with zstd.open(one.root / "zstd/blobs/sha256" / hex_of(layer.digest)) as tar:
            assert f"sha256:{hashlib.file_digest(tar, 'sha256').hexdigest()}" == layer.diff_id


def test_the_key_of_a_layer_holds_its_compression(built: Built, tmp_path: Path) -> None:
    store = built.copied_store(tmp_path / "store")
    image = build_image(
        BuildInputs("pump-wear", 3, built.model, sha256(built.model.read_bytes())),
        layers=store,
        wheels=NoWheels(),
        work_dir=tmp_path,
        progress=lambda fraction, message: None,
        cancelled=lambda: False,
        options=BuildOptions(compression="zstd"),
    )
    assert (store.hits, image.new_layers) == (0, 3)


def test_every_blob_has_its_digest_and_every_tar_its_diff_id(built: Built) -> None:
    for path in (built.root / "blobs/sha256").iterdir():
        with path.open("rb") as stream:
            assert hashlib.file_digest(stream, "sha256").hexdigest() == path.name
    for layer in built.image.layers:
        blob = built.store().blob(layer.digest)
        assert blob.stat().st_size == layer.size_bytes
        with gzip.open(blob) as tar:
            assert f"sha256:{hashlib.file_digest(tar, 'sha256').hexdigest()}" == layer.diff_id


def test_one_other_byte_in_the_model_makes_one_new_layer(built: Built, tmp_path: Path) -> None:
    changed = bytearray(built.model.read_bytes())
    changed[-1] ^= 1
    other = tmp_path / "other.onnx"
    other.write_bytes(changed)

    image, store = built.rebuild(tmp_path, other)

    titles = [
        after.title for before, after in zip(built.image.layers, image.layers, strict=True) if before != after
    ]
    assert titles == ["model"]
    assert (store.hits, store.saved, image.new_layers) == (6, 1, 1)
    assert image.manifests[0].config_digest != built.image.manifests[0].config_digest
    assert image.manifests[0].manifest_digest != built.image.manifests[0].manifest_digest
    assert image.index_digest != built.image.index_digest


def test_an_unchanged_model_builds_nothing(built: Built, tmp_path: Path) -> None:
    image, store = built.rebuild(tmp_path, built.model)
    assert (store.hits, store.saved, image.new_layers) == (7, 0, 0)
    assert image.index_digest == built.image.index_digest


def test_a_layer_whose_blob_is_gone_is_built_again_to_the_same_bytes(built: Built, tmp_path: Path) -> None:
    server = next(layer for layer in built.image.layers if layer.title == "scoring server")
    store = built.copied_store(tmp_path / "store")
    store.blob(server.digest).unlink()
    image, _ = built.rebuild(tmp_path, built.model, store=store)
    assert store.saved == 1
    assert image.index_digest == built.image.index_digest
    assert store.blob(server.digest).is_file()


def test_a_script_adds_one_layer_on_top(built: Built, tmp_path: Path) -> None:
    script = tmp_path / "anything.py"
    script.write_text("def init():\n    pass\n\n\ndef run(raw_data):\n    return raw_data\n")
    image, store = built.rebuild(tmp_path, built.model, script=script)
    assert image.layers[:-1] == built.image.layers
    assert (store.hits, store.saved) == (7, 1)
    with tarfile.open(store.blob(image.layers[-1].digest), "r:gz") as tar:
        member = tar.extractfile("var/headland/script/score.py")
        assert member is not None
        assert member.read() == script.read_bytes()
        assert any(name.endswith(".pyc") for name in tar.getnames())
    assert (
        "HEADLAND_SCRIPT=/var/headland/script/score.py"
        in json.loads(store.blob(image.manifests[0].config_digest).read_bytes())["config"]["Env"]
    )


def test_the_documents_lead_from_the_index_to_every_layer(built: Built) -> None:
    store = built.store()
    index = decode(store.blob(built.image.index_digest).read_bytes(), oci.Index, what="index")
    assert index.manifests[0].platform is not None
    assert index.manifests[0].digest == built.image.manifests[0].manifest_digest
    manifest_bytes = store.blob(index.manifests[0].digest).read_bytes()
    assert len(manifest_bytes) == index.manifests[0].size
    manifest = decode(manifest_bytes, oci.Manifest, what="manifest")
    config_bytes = store.blob(manifest.config.digest).read_bytes()
    assert sha256(config_bytes) == manifest.config.digest
    config = decode(config_bytes, oci.ImageConfig, what="configuration")
    assert config.rootfs.diff_ids == tuple(layer.diff_id for layer in built.image.layers)
    assert [layer.annotations["org.opencontainers.image.title"] for layer in manifest.layers] == [
        "runtime",
        "numpy",
        "onnxruntime",
        "uvloop",
        "small Python packages",
        "scoring server",
        "model",
    ]
    assert config.created == "1970-01-01T00:00:00Z"
    assert config.config.User == "65532:65532"
    assert config.config.Entrypoint == ("/opt/python/bin/python3", "-m", "modules.serving")
    assert config.config.Labels["dev.headland.model"] == "pump-wear:3"
    total = sum(layer.size for layer in manifest.layers) + len(config_bytes) + len(manifest_bytes)
    assert built.image.size_bytes == total + store.blob(built.image.index_digest).stat().st_size
