"""The base debian: signed lists, pinned packages, an image for another processor that is all for it."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from backports import zstd

from cloud_hub.images.build import BuiltImage, FolderLayerStore, PlatformImage
from cloud_hub.images.build.bases import Asked
from cloud_hub.images.build.debian.apt import Apt
from cloud_hub.images.build.debian.base import DebianBases
from cloud_hub.images.build.debian.deb import unpack
from cloud_hub.images.build.debian.runtime import wanted
from cloud_hub.images.build.elf_needs import needs_of
from cloud_hub.images.build.errors import BuildCancelledError, DebianFetchError, DebianUnavailableError
from cloud_hub.images.build.layout import SITE_PACKAGES
from cloud_hub.images.build.lock import Lock
from cloud_hub.images.build.options import own_platform
from contract.digests import hex_of
from tests.images.conftest import NOBODY, ROOT, Built, as_nobody
from tests.images.containers import INFER, ask, container, let_pass, until_ready

pytestmark = pytest.mark.system
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Debian:
    """An image for both processors, its store, and the folder of Debian's lists and packages."""

    image: BuiltImage
    lock: Lock
    store: FolderLayerStore
    images: Path
    cache: Path
    wheels: Path

    def platform(self, name: str) -> PlatformImage:
        return next(one for one in self.image.manifests if one.platform == name)

    def unpacked(self, name: str, folder: Path) -> Path:
        for layer in self.platform(name).layers:
            with (
                zstd.open(self.store.blob(layer.digest)) as file,
                tarfile.open(fileobj=file, mode="r|") as tar,
            ):
                tar.extraction_filter = lambda one, _: one
                tar.extractall(folder)
        folder.chmod(0o755)
        return folder


@pytest.fixture(scope="session")
def debian(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, wheels_dir: Path, model: Path
) -> Debian:
    """Built by a plain user, in zstd."""
    if shutil.which("apt-get") is None or not KEYRING.is_file():
        pytest.skip("needs apt and Debian's keys (Debian, Ubuntu: apt install debian-archive-keyring)")
    folder = tmp_path_factory.mktemp("debian")
    user = as_nobody(folder)
    wheels = folder / "wheels"
    shutil.copytree(wheels_dir, wheels)
    if user:
        for path in (wheels, *wheels.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    root, cache = folder / "images", folder / "debian"
    asked = {
        "root": str(root),
        "wheels": str(wheels),
        "model": str(model),
        "base": "debian",
        "platforms": ["linux/amd64", "linux/arm64"],
        "compression": "zstd",
        "debian": str(cache),
    }
    done = subprocess.run(
        [*user, sys.executable, "-m", "tests.images.build_once", json.dumps(asked)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)},
        stdout=subprocess.PIPE,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["uid"] == (NOBODY if user else os.getuid())
    (built,) = answer["built"]
    assert built["left_over"] == []
    return Debian(
        msgspec.convert(built["image"], BuiltImage),
        msgspec.convert(built["lock"], Lock),
        FolderLayerStore(root),
        root,
        cache,
        wheels,
    )


def programs_of_wheels(debian: Debian, platform: str) -> set[str]:
    """Return the names of all compiled files in the wheels of a platform."""
    found = set[str]()
    for wheel in debian.lock.wheels[platform]:
        with zipfile.ZipFile(debian.wheels / f"{hex_of(wheel.digest)}.whl") as file:
            found |= {name for name in file.namelist() if needs_of(file.read(name)) is not None}
    assert found, platform
    return found


def test_every_program_of_the_arm64_image_is_for_arm64(debian: Debian, tmp_path: Path) -> None:
    rootfs = debian.unpacked("linux/arm64", tmp_path / "rootfs")
    found: dict[Path, str] = {}
    names, needed = {path.name for path in rootfs.rglob("*")}, set[str]()
    for path in rootfs.rglob("*"):
        needs = needs_of(path.read_bytes()) if path.is_file() and not path.is_symlink() else None
        if needs is not None:
            found[path.relative_to(rootfs)] = needs.machine
            if path.is_relative_to(rootfs / "usr"):
                needed |= set(needs.libraries)
    assert set(found.values()) == {"aarch64"}
    assert Path("usr/bin/python3.11") in found
    packages = Path(SITE_PACKAGES.removeprefix("/"))
    in_image = {str(path.relative_to(packages)) for path in found if path.is_relative_to(packages)}
    assert in_image == programs_of_wheels(debian, "linux/arm64")
    assert needed <= names
    config = debian.platform("linux/arm64").config_digest
    assert json.loads(debian.store.blob(config).read_bytes())["architecture"] == "arm64"


def test_it_scores_in_a_container_without_a_network(debian: Debian, model: Path, tmp_path: Path) -> None:
    if shutil.which("runc") is None or os.geteuid() != 0:
        pytest.skip("needs runc and root")
    rootfs = debian.unpacked(own_platform(), tmp_path / "rootfs")
    let_pass(rootfs)
    image = replace(debian.image, manifests=(debian.platform(own_platform()),))
    built = Built(debian.images, model, debian.wheels, image, ())
    with container(built, rootfs, tmp_path, f"headland-debian-{os.getpid()}") as (shared, running):
        until_ready(shared / "score.sock", running, tmp_path / "log")
        status, answer = ask(shared / "score.sock", "POST", "/v2/models/pump-wear/infer", INFER)
    assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, [2.0, 4.0, 6.0])


def test_the_check_of_programs_tells_processors_apart(debian: Debian, tmp_path: Path) -> None:
    running = needs_of(Path(sys.executable).resolve().read_bytes())
    assert running is not None
    assert running.machine == os.uname().machine
    assert needs_of(b"#!/bin/sh\n") is None


def test_layers_without_programs_are_shared_by_both(debian: Debian) -> None:
    one, other = (
        {layer.title: layer.digest for layer in platform.layers} for platform in debian.image.manifests
    )
    assert {title for title in one if one[title] == other[title]} == {"scoring server", "model"}


def test_bytecode_is_the_same_for_both(debian: Debian, tmp_path: Path) -> None:
    roots = [debian.unpacked(one, tmp_path / one) for one in ("linux/amd64", "linux/arm64")]
    names = [
        {path.relative_to(root) for path in (root / "usr/lib/python3.11").rglob("*.pyc")} for root in roots
    ]
    assert {path.name.split(".")[0] for path in names[0] ^ names[1]} == {
        "_sysconfigdata__aarch64-linux-gnu",
        "_sysconfigdata__x86_64-linux-gnu",
    }
    for name in names[0] & names[1]:
        assert (roots[0] / name).read_bytes() == (roots[1] / name).read_bytes()


def test_licences_of_the_packages_are_in_the_image(debian: Debian, tmp_path: Path) -> None:
    rootfs = debian.unpacked("linux/amd64", tmp_path / "rootfs")
    for deb in debian.lock.debian["amd64"]:
        folder = rootfs / "usr/share/doc" / deb.name
        assert (folder / "copyright").is_file(), deb.name


def test_the_lists_are_not_asked_again_within_the_hour(debian: Debian, tmp_path: Path) -> None:
    bases, said = DebianBases(debian.cache, mirror=""), list[str]()
    with ExitStack() as closing:
        base = bases.base(Asked("debian", "linux/amd64", tmp_path, lambda: False, said.append), closing)
    assert said == []
    assert bases.used["amd64"] == debian.lock.debian["amd64"]
    assert base.layers[0].title == "runtime (Debian bookworm)"


def _change_inrelease(data: bytes) -> bytes:
    return data.replace(b"Codename: bookworm", b"Codename: bookwork", 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_change_inrelease, "BADSIG|invalid"),
        (
            lambda data: data[data.index(b"Origin:") : data.index(b"-----BEGIN PGP SIG")],
            "not signed|signed|NOSPLIT",
        ),
        (lambda data: data, "Hash|hash|404|not match|size"),
    ],
    ids=["changed", "unsigned", "lists that it does not name"],
)
def test_lists_that_debian_did_not_sign_are_refused(
    debian: Debian, tmp_path: Path, change: Callable[[bytes], bytes], reason: str
) -> None:
    genuine = {
        suite: next((debian.cache / "amd64/lists").glob(f"*_{suite}_InRelease")).read_bytes()
        for suite in ("bookworm", "bookworm-security")
    }

    def answer(path: str) -> bytes | None:
        if path.endswith("/InRelease"):
            return change(genuine[path.split("/")[-2]])
        return b"Package: python3.11-minimal\n" if "/binary-amd64/" in path else None

    with _mirror(answer) as address:
        apt = Apt(tmp_path / "apt", "amd64", mirror=address)
        with pytest.raises(DebianFetchError, match=reason):
            apt.update()


def test_a_package_with_another_digest_is_refused(debian: Debian, tmp_path: Path) -> None:
    deb = min(debian.lock.debian["amd64"], key=lambda one: one.size_bytes)
    genuine = (debian.cache / "packages" / f"{hex_of(deb.digest)}.deb").read_bytes()
    with _mirror(lambda path: genuine) as address:
        apt = Apt(tmp_path / "apt", "amd64", mirror=address)
        apt.download([(deb, tmp_path / "right.deb")])
        assert (tmp_path / "right.deb").read_bytes() == genuine
    with _mirror(lambda path: genuine[:-1] + b"?") as address:
        apt = Apt(tmp_path / "other", "amd64", mirror=address)
        with pytest.raises(DebianFetchError):
            apt.download([(deb, tmp_path / "wrong.deb")])
    assert not (tmp_path / "wrong.deb").exists()


def test_without_apt_or_its_keys_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DebianUnavailableError, match="debian-archive-keyring"):
        Apt(tmp_path, "amd64", keyring=tmp_path / "none.gpg")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DebianUnavailableError, match="apt is not on this machine"):
        Apt(tmp_path, "amd64")


def test_a_cancelled_fetch_ends(tmp_path: Path) -> None:
    bases = DebianBases(tmp_path)
    with ExitStack() as closing, pytest.raises(BuildCancelledError):
        bases.base(Asked("debian", "linux/amd64", tmp_path, lambda: True, lambda _: None), closing)


def test_what_is_no_package_is_refused(debian: Debian, tmp_path: Path) -> None:
    deb = min(debian.lock.debian["amd64"], key=lambda one: one.size_bytes)
    genuine = (debian.cache / "packages" / f"{hex_of(deb.digest)}.deb").read_bytes()
    for number, data in enumerate((b"", b"!<arch>\n", genuine[: len(genuine) // 2], b"zip" * 99)):
        path = tmp_path / f"{number}.deb"
        path.write_bytes(data)
        with pytest.raises(DebianFetchError):
            unpack(path, tmp_path / f"root-{number}", lambda _: True)


@pytest.mark.parametrize("path", ["/usr/bin/dpkg", "/usr/lib/python3.11/test/x.py", "/etc/shadow"])
def test_what_an_image_does_not_need_is_left_in_the_package(path: str) -> None:
    assert not wanted(path)
    assert wanted("/usr/lib/python3.11/json/__init__.py")


@contextmanager
def _mirror(answer: Callable[[str], bytes | None]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = answer(self.path)
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/debian"
        finally:
            server.shutdown()
            thread.join()
