"""What a registry sends: only what was asked for is kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.errors import HubError
from cloud_hub.oci_client.documents import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    MAX_MANIFEST_BYTES,
    Descriptor,
    for_platform,
    read_document,
)
from cloud_hub.oci_client.errors import (
    RegistryCancelledError,
    RegistryContentError,
    RegistryError,
    RegistryNotFoundError,
)
from cloud_hub.oci_client.pull import fetch_blob, fetch_manifest, fetch_small, open_blob
from contract import oci
from tests.bases.pictures import digest_of
from tests.oci_client.scripted import Answer, Request, Told, ranged, stage

DATA = bytes(range(256)) * 400
BLOB = Descriptor(mediaType=oci.LAYER_GZIP, digest=digest_of(DATA), size=len(DATA))


def download(answer: Answer, target: Path, **options: Any) -> list[Request]:
    with stage(answer) as at:
        fetch_blob(at.requests(None), "a/b", BLOB, target, pause=lambda _: None, **options)
        return at.heard(at.good)


def in_turn(*answers: Answer) -> Answer:
    left = list(answers)

    def answer(request: Request) -> Told:
        now = left.pop(0) if len(left) > 1 else left[0]
        return now(request)

    return answer


def test_a_blob_that_breaks_off_goes_on_by_range(tmp_path: Path) -> None:
    cut = Told(200, DATA[:70_000], length=len(DATA))
    heard = download(in_turn(lambda _: cut, ranged(DATA)), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA
    assert [one.headers.get("range") for one in heard] == [None, f"bytes=70000-{len(DATA) - 1}"]


def test_a_registry_without_ranges_sends_it_again(tmp_path: Path) -> None:
    cut = Told(200, DATA[:70_000], length=len(DATA))
    download(in_turn(lambda _: cut, lambda _: Told(200, DATA)), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA


def test_a_registry_that_is_down_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    heard = download(in_turn(lambda _: Told(503), lambda _: Told(429), ranged(DATA)), tmp_path / "x")
    assert len(heard) == 3


WRONG: dict[str, tuple[Answer, str]] = {
    "other bytes": (lambda _: Told(200, DATA[:-1] + b"!"), "does not have its digest"),
    "more bytes": (lambda _: Told(200, DATA + b"!"), "larger than its descriptor"),
    "far more bytes": (lambda _: Told(200, DATA * 50), "larger than its descriptor"),
    "another part": (
        in_turn(
            lambda _: Told(200, DATA[:70_000], length=len(DATA)),
            lambda _: Told(206, DATA[:10], {"Content-Range": f"bytes 0-9/{len(DATA)}"}),
        ),
        "another part of a blob",
    ),
    "a part unasked": (
        lambda _: Told(206, DATA[:9], {"Content-Range": "bytes 0-8/9"}),
        "another part of a blob",
    ),
    "cut off each time": (lambda _: Told(200, DATA[:0], length=len(DATA)), "no answer|broke off"),
    "fewer bytes each time": (lambda _: Told(200, b""), "broke off"),
    "always down": (lambda _: Told(500), "answered 500"),
    "not there": (lambda _: Told(404, b"secret words"), "does not have it"),
    "compressed": (lambda _: Told(200, DATA, {"Content-Encoding": "gzip"}), "compressed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_of_what_is_wrong_nothing_stays(name: str, tmp_path: Path) -> None:
    answer, reason = WRONG[name]
    with pytest.raises(HubError, match=reason) as caught:
        download(answer, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert "secret words" not in str(caught.value)


def test_tries_without_a_byte_end(tmp_path: Path) -> None:
    with stage(lambda _: Told(503)) as at:
        with pytest.raises(RegistryError):
            fetch_blob(at.requests(None), "a/b", BLOB, tmp_path / "x", pause=lambda _: None)
        assert at.good.connections == 4


def test_a_download_that_nobody_wants_any_more_ends(tmp_path: Path) -> None:
    with pytest.raises(RegistryCancelledError):
        download(ranged(DATA), tmp_path / "x", cancelled=lambda: True)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("answer", [ranged(DATA), lambda _: Told(200, DATA)], ids=["ranges", "no ranges"])
@pytest.mark.parametrize(("offset", "length"), [(0, len(DATA)), (0, 10), (70_000, 100), (len(DATA) - 1, 1)])
def test_a_part_is_that_part(answer: Answer, offset: int, length: int) -> None:
    with (
        stage(answer) as at,
        open_blob(at.requests(None), "a/b", BLOB.digest, BLOB.size, offset, length) as chunks,
    ):
        assert b"".join(chunks) == DATA[offset : offset + length]


def test_of_a_whole_blob_with_another_digest_the_end_does_not_come() -> None:
    got: list[bytes] = []
    with (
        stage(lambda _: Told(200, b"!" + DATA[1:])) as at,
        open_blob(at.requests(None), "a/b", BLOB.digest, BLOB.size, 0, BLOB.size) as chunks,
        pytest.raises(RegistryContentError),
    ):
        got.extend(chunks)
    assert sum(map(len, got)) < BLOB.size


def test_a_small_blob_has_its_digest() -> None:
    with stage(lambda _: Told(200, DATA)) as at:
        assert fetch_small(at.requests(None), "a/b", BLOB) == DATA
        wrong = Descriptor(mediaType="", digest=digest_of(b"x"), size=BLOB.size)
        with pytest.raises(RegistryContentError):
            fetch_small(at.requests(None), "a/b", wrong)
        with pytest.raises(RegistryContentError, match="more than"):
            fetch_small(at.requests(None), "a/b", Descriptor(mediaType="", digest=BLOB.digest, size=10**9))


def test_a_manifest_has_the_digest_that_was_asked_for() -> None:
    with stage(lambda _: Told(200, b"{}")) as at:
        assert fetch_manifest(at.requests(None), "a/b", digest_of(b"{}")).data == b"{}"
        with pytest.raises(RegistryContentError):
            fetch_manifest(at.requests(None), "a/b", digest_of(b"{} "))


def test_a_gigantic_manifest_is_given_up() -> None:
    with (
        stage(lambda _: Told(200, bytes(MAX_MANIFEST_BYTES + 1))) as at,
        pytest.raises(RegistryContentError, match="more than"),
    ):
        fetch_manifest(at.requests(None), "a/b", "1")


def test_a_manifest_that_is_not_there() -> None:
    with stage(lambda _: Told(404)) as at, pytest.raises(RegistryNotFoundError):
        fetch_manifest(at.requests(None), "a/b", "1")


D = "sha256:" + "0" * 64
CONFIG = {"mediaType": oci.CONFIG, "digest": D, "size": 2}
IMAGE = {"schemaVersion": 2, "config": CONFIG, "layers": []}
NOT_READ: dict[str, Any] = {
    "no json": b"{",
    "deep": b"[" * 100_000,
    "schema 1": {"schemaVersion": 1, "fsLayers": []},
    "both": IMAGE | {"manifests": []},
    "image called index": IMAGE | {"mediaType": oci.INDEX},
    "no layers": {"config": CONFIG},
    "no config": {"layers": []},
    "another digest": IMAGE | {"layers": [{"mediaType": "x", "digest": "sha512:" + "0" * 128, "size": 1}]},
    "a digest that leads out": IMAGE
    | {"layers": [{"mediaType": "x", "digest": "sha256:../../etc", "size": 1}]},
    "negative": IMAGE | {"layers": [{"mediaType": "x", "digest": D, "size": -1}]},
    "many layers": IMAGE | {"layers": [{"mediaType": "x", "digest": D, "size": 1}] * 128},
    "too large": b" " * (MAX_MANIFEST_BYTES + 1),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_a_document_that_is_not_one_is_refused(name: str) -> None:
    raw = NOT_READ[name]
    with pytest.raises(RegistryContentError):
        read_document(raw if isinstance(raw, bytes) else json.dumps(raw).encode(), where="x")


def test_a_document_is_not_two_things() -> None:
    data = json.dumps(IMAGE).encode()
    assert not read_document(data, oci.MANIFEST + "; charset=utf-8", where="x").is_index
    with pytest.raises(RegistryContentError):
        read_document(data, oci.INDEX, where="x")


def test_dockers_words_become_ocis() -> None:
    layers = [
        {
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "digest": D,
            "size": 1,
            "urls": ["http://evil.test/"],
        }
    ]
    data = json.dumps(IMAGE | {"mediaType": DOCKER_MANIFEST, "layers": layers}).encode()
    found = read_document(data, DOCKER_MANIFEST, where="x")
    assert found.layers is not None
    assert found.layers[0].mediaType == oci.LAYER_GZIP
    listed = [
        {
            "mediaType": DOCKER_MANIFEST,
            "digest": D,
            "size": number,
            "platform": {"os": "linux", "architecture": "amd64"} | more,
        }
        for number, more in enumerate([{"variant": "v3"}, {}, {"architecture": "arm64", "variant": "v8"}])
    ]
    index = read_document(json.dumps({"manifests": listed}).encode(), DOCKER_INDEX, where="x")
    found_sizes = [
        one.size if (one := for_platform(index, name)) is not None else -1
        for name in ("linux/amd64", "linux/arm64", "linux/s390x")
    ]
    assert found_sizes == [1, 2, -1]
