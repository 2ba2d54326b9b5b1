"""Pulling from a real HTTPS registry that misbehaves, and being killed on the way."""

import os
import pickle
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from backports import zstd

from agent.artifacts.errors import (
    DigestMismatchError,
    FetchError,
    FetchRefusedError,
    FetchSlowError,
    ImageInvalidError,
    StorageError,
)
from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.pull import pull_image, staged_image, sweep
from agent.artifacts.store import ContentStore
from contract.desired import ImageRef
from tests.artifacts.conftest import Site
from tests.artifacts.registry import make_tar, tree

NOISE = random.Random(1).randbytes(3_000_000)
BASE, TOP = make_tar({"base": NOISE}), make_tar({"top": b"top"})


def image(site: Site) -> ImageRef:
    return site.served.add_image([BASE, TOP], site.architecture)


def largest(site: Site) -> tuple[str, int]:
    """Return digest and size of the layer that is worth cutting."""
    digest, data = max(site.served.content.items(), key=lambda item: len(item[1]))
    return digest, len(data)


def test_an_image_is_pulled_once_and_found_again_without_the_network(site: Site) -> None:
    ref = image(site)
    assert staged_image(ref, site.store) is None
    staged = pull_image(ref, site.client, site.store)
    assert [sorted(p.name for p in layer.iterdir()) for layer in staged.layers] == [["base"], ["top"]]
    assert (staged.layers[0] / "base").read_bytes() == NOISE
    assert list((site.folder / "content/partial").iterdir()) == []
    site.served.asked.clear()
    assert staged_image(ref, ContentStore(site.folder / "content")) == staged
    assert pull_image(ref, site.client, site.store) == staged
    assert site.served.asked == []


def test_only_the_layer_that_changed_is_pulled(site: Site) -> None:
    pull_image(image(site), site.client, site.store)
    site.served.sent.clear()
    pull_image(
        site.served.add_image([BASE, make_tar({"top": b"new"})], site.architecture), site.client, site.store
    )
    assert largest(site)[0] not in site.served.sent
    assert sum(site.served.sent.values()) < 5_000


def test_a_cut_download_goes_on_where_it_broke_off(site: Site) -> None:
    ref = image(site)
    digest, size = largest(site)
    site.served.cut_after[digest] = size // 2
    with pytest.raises(FetchError) as caught:
        pull_image(ref, site.client, site.store)
    assert caught.value.retriable
    assert staged_image(ref, site.store) is None
    pull_image(ref, site.client, site.store)
    assert any(path.endswith(digest) and wanted for path, wanted in site.served.asked)
    assert site.served.sent[digest] - size < size // 10


def test_a_crawling_registry_is_given_up_in_time_and_nothing_that_came_is_lost(site: Site) -> None:
    ref = image(site)
    digest, size = largest(site)
    impatient = HttpsRegistry(site.served.url, site.context, timeout_s=5, slowest_bytes_s=5_000, slow_s=0.5)
    site.served.trickle.add(digest)
    for _ in range(2):
        with pytest.raises(FetchSlowError) as caught:
            pull_image(ref, impatient, site.store)
        assert caught.value.retriable
    kept = site.store.partial_file(digest).stat().st_size
    assert 0 < kept <= site.served.sent[digest]
    assert staged_image(ref, site.store) is None
    site.served.trickle.clear()
    pull_image(ref, impatient, site.store)
    assert site.served.sent[digest] - size < size // 10


def test_the_control_a_patient_client_goes_on_with_a_crawling_registry(site: Site) -> None:
    small = site.served.add_image([make_tar({"f": b"x"})], site.architecture)
    digest, _ = largest(site)
    site.served.trickle.add(digest)
    patient = HttpsRegistry(site.served.url, site.context, timeout_s=5, slowest_bytes_s=1, slow_s=0.2)
    assert pull_image(small, patient, site.store).layers


def test_a_registry_that_is_down_is_asked_again_later(site: Site) -> None:
    ref = image(site)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(FetchError) as caught:
        pull_image(ref, HttpsRegistry(f"https://127.0.0.1:{port}", site.context), site.store)
    assert caught.value.retriable


def test_a_layer_in_zstd_is_pulled(site: Site) -> None:
    ref = site.served.add_image([BASE, TOP], site.architecture, pack=lambda plain: zstd.compress(plain, 3))
    staged = pull_image(ref, site.client, site.store)
    assert (staged.layers[0] / "base").read_bytes() == NOISE


@pytest.mark.parametrize("fault", ["flipped", "longer"])
def test_wrong_bytes_are_never_used(site: Site, fault: str) -> None:
    ref = image(site)
    digest, _ = largest(site)
    getattr(site.served, fault).add(digest)
    with pytest.raises(DigestMismatchError):
        pull_image(ref, site.client, site.store)
    assert staged_image(ref, site.store) is None
    assert list((site.folder / "content/layers").iterdir()) == []
    getattr(site.served, fault).clear()
    pull_image(ref, site.client, site.store)


@pytest.mark.parametrize(("status", "kind"), [(503, FetchError), (429, FetchError), (404, FetchRefusedError)])
def test_answers_that_are_none(site: Site, status: int, kind: type[Exception]) -> None:
    ref = image(site)
    site.served.status[ref.digest] = status
    with pytest.raises(kind):
        pull_image(ref, site.client, site.store)


def test_a_redirect_is_not_followed(site: Site) -> None:
    ref = image(site)
    site.served.status[ref.digest] = 307
    site.served.location = f"{site.served.url}/elsewhere"
    with pytest.raises(FetchRefusedError):
        pull_image(ref, site.client, site.store)
    assert not any("elsewhere" in path for path, _ in site.served.asked)


def test_another_ca_is_not_trusted_and_nothing_is_asked(site: Site) -> None:
    ref = image(site)
    stranger = HttpsRegistry(site.served.url, ssl.create_default_context(), timeout_s=5)
    with pytest.raises(FetchError):
        pull_image(ref, stranger, site.store)
    assert site.served.asked == []


def test_a_manifest_that_was_exchanged_is_refused(site: Site) -> None:
    ref, other = image(site), site.served.add_image([TOP], site.architecture)
    site.served.content[ref.digest] = site.served.content[other.digest]
    with pytest.raises(DigestMismatchError):
        pull_image(ref, site.client, site.store)


def test_an_image_for_another_platform_is_refused(site: Site) -> None:
    ref = site.served.add_image([TOP], "riscv64")
    with pytest.raises(ImageInvalidError):
        pull_image(ref, site.client, site.store)


def test_a_layer_that_unpacks_to_another_than_it_says_is_refused(site: Site) -> None:
    lies = (f"sha256:{'0' * 64}",)
    ref = site.served.add_image([TOP], site.architecture, diff_ids=lies)
    with pytest.raises(DigestMismatchError):
        pull_image(ref, site.client, site.store)
    assert list((site.folder / "content/layers").iterdir()) == []


def test_sweep_keeps_what_is_named_and_only_that(site: Site) -> None:
    kept = image(site)
    pull_image(kept, site.client, site.store)
    before = tree(site.folder / "content")
    pull_image(
        site.served.add_image([BASE, make_tar({"x": b"x"})], site.architecture), site.client, site.store
    )
    assert tree(site.folder / "content") != before
    sweep([kept], site.store)
    assert tree(site.folder / "content") == before
    sweep([], site.store)
    assert staged_image(kept, site.store) is None
    assert not any(path.is_file() for path in (site.folder / "content").rglob("*"))


KILLS, TRIES = 8, 40
PULL = """
import pickle, ssl, sys
from pathlib import Path
from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.pull import pull_image
from agent.artifacts.store import ContentStore
url, ca, content, ref = sys.argv[1:]
client = HttpsRegistry(url, ssl.create_default_context(cafile=ca), timeout_s=5)
store = ContentStore(Path(content))
print("pulling", flush=True)
pull_image(pickle.loads(Path(ref).read_bytes()), client, store)
print("pulled", flush=True)
"""


def test_killed_at_any_moment_of_a_pull_the_store_is_whole_and_the_next_pull_succeeds(site: Site) -> None:
    many = make_tar({f"folder{n % 20}/file{n}": NOISE[n : n + 300] for n in range(1500)})
    ref = site.served.add_image([BASE, many], site.architecture)
    (site.folder / "ref").write_bytes(pickle.dumps(ref))
    words = [sys.executable, "-c", PULL, site.served.url, str(site.folder / "ca.pem")]
    killed = 0
    whole_s = 0.0
    for number in range(TRIES):
        content = site.folder / f"content{number}"
        pull = subprocess.Popen(
            [*words, str(content), str(site.folder / "ref")], stdout=subprocess.PIPE, text=True
        )
        assert pull.stdout is not None
        assert pull.stdout.readline() == "pulling\n"
        begun = time.monotonic()
        if number == 0:
            assert pull.stdout.readline() == "pulled\n"
            whole_s = time.monotonic() - begun
        else:
            time.sleep(whole_s * (killed + 1) / 10)  # the moment is what is tested
        pull.send_signal(signal.SIGKILL)
        if pull.wait() == -signal.SIGKILL and number > 0:
            killed += 1
        else:
            whole_s *= 0.7  # it had ended: the first one was slower, as others had the cores
        pull.stdout.close()
        store = ContentStore(content)
        assert not any(path.name.startswith(".") for path in (content / "layers").iterdir())
        staged = pull_image(ref, site.client, store)
        assert (staged.layers[0] / "base").read_bytes() == NOISE
        assert sum(len(files) for _, _, files in os.walk(staged.layers[1])) == 1500
        if killed == KILLS:
            break
    assert killed == KILLS


def test_only_the_repository_of_the_reference_is_asked(site: Site) -> None:
    ref = image(site)
    pull_image(ref, site.client, site.store)
    assert site.served.asked[0][0] == f"/v2/ws/digits/manifests/{ref.digest}"
    assert all(path.startswith("/v2/ws/digits/") for path, _ in site.served.asked)


def test_images_that_share_layers_are_pulled_side_by_side(site: Site) -> None:
    refs = [
        site.served.add_image([BASE, make_tar({"top": str(i).encode()})], site.architecture) for i in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        staged = list(pool.map(lambda ref: pull_image(ref, site.client, site.store), refs))
    assert len({image.layers[0] for image in staged}) == 1
    assert len({image.layers[1] for image in staged}) == 8
    digest, size = largest(site)
    assert site.served.sent[digest] == size


def test_a_damaged_partial_file_is_pulled_anew_and_not_held_against_the_image(site: Site) -> None:
    ref = image(site)
    digest, size = largest(site)
    site.store.partial_file(digest).write_bytes(b"\0" * (size // 2))
    with pytest.raises(FetchError) as caught:
        pull_image(ref, site.client, site.store)
    assert caught.value.retriable
    pull_image(ref, site.client, site.store)


def test_a_full_disk_is_called_by_its_name(site: Site) -> None:
    ref = image(site)
    digest, _ = largest(site)
    site.store.partial_file(digest).symlink_to("/dev/full")
    with pytest.raises(StorageError) as caught:
        pull_image(ref, site.client, site.store)
    assert caught.value.retriable
    assert "space" in str(caught.value)
