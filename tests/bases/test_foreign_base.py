"""Bases from files and registries: their layers as they are, their Python found, the rest refused."""

import gzip
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.archives.errors import ArchiveRefusedError
from cloud_hub.images.bases.archive_sources import open_archive
from cloud_hub.images.bases.base import foreign_base
from cloud_hub.images.bases.errors import BasePlatformError, BaseRefusedError
from cloud_hub.images.bases.ports import ForeignBase
from cloud_hub.images.bases.sources import BaseSource, RegistryBase
from cloud_hub.oci_client.errors import RegistryContentError
from cloud_hub.oci_client.references import parse_reference
from contract import oci
from tests.bases.memory import MemoryBlobs, MemoryFindings
from tests.bases.pictures import (
    OTHER_PLATFORM,
    PLATFORM,
    Item,
    Picture,
    digest_of,
    layer_tar,
    picture,
    python_layers,
    tar_of,
)
from tests.oci_client.docker_registry import DockerRegistry, why_not
from tests.oci_client.docker_registry import registry as registry  # noqa: PLC0414  a fixture
from tests.oci_client.scripted import EVIL, GOOD, Request, Told, stage


@dataclass
class Taker:
    """Takes bases in, into memory."""

    folder: Path
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    findings: MemoryFindings = field(default_factory=MemoryFindings)

    def take(self, source: BaseSource, platform: str = PLATFORM) -> ForeignBase:
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        try:
            return foreign_base(
                source,
                platform,
                blobs=self.blobs,
                findings=self.findings,
                work_dir=work,
                cancelled=lambda: False,
            )
        finally:
            assert list(work.iterdir()) == []

    def archive(self, file: Path) -> BaseSource:
        return open_archive(file, "blob:sha256:test", self.folder / f"unpacked-{file.name}")


@pytest.fixture
def taker(tmp_path: Path) -> Taker:
    return Taker(tmp_path)


@pytest.fixture(scope="module")
def made() -> Picture:
    return picture(python_layers(12))


def skopeo(*arguments: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    subprocess.run(["skopeo", "--insecure-policy", *arguments], check=True, capture_output=True, timeout=120)


def is_as_made(base: ForeignBase, made: Picture) -> None:
    assert [layer.digest for layer in base.layers] == made.layers
    assert [layer.diff_id for layer in base.layers] == json.loads(made.config)["rootfs"]["diff_ids"]
    assert {layer.media_type for layer in base.layers} == {oci.LAYER_GZIP}
    assert (base.digest, base.config_digest) == (made.digest, digest_of(made.config))
    assert base.python.path == "/usr/local/bin/python3.12"
    assert base.config.config.Env == ("PATH=/usr/local/bin:/usr/bin",)


@pytest.mark.parametrize("with_platform", [True, False])
def test_a_layout_is_a_base(taker: Taker, with_platform: bool) -> None:
    made = picture(python_layers(12), with_platform=with_platform)
    base = taker.take(taker.archive(tar_of(made.write(taker.folder / "layout"))))
    is_as_made(base, made)
    assert base.source == "blob:sha256:test"
    assert {layer.digest: len(taker.blobs.blobs[layer.digest]) for layer in base.layers} == {
        layer.digest: layer.size_bytes for layer in base.layers
    }


def test_a_layout_for_another_platform_is_not_there(taker: Taker) -> None:
    made = picture(python_layers(12), on=OTHER_PLATFORM, with_platform=False)
    with pytest.raises(BasePlatformError, match=f"not there for {PLATFORM}"):
        taker.take(taker.archive(tar_of(made.write(taker.folder / "layout"))))


@pytest.mark.system
def test_an_archive_that_skopeo_wrote_is_the_same_base(taker: Taker, made: Picture) -> None:
    folder, file = made.write(taker.folder / "layout"), taker.folder / "x.tar"
    skopeo("copy", "--preserve-digests", f"oci:{folder}", f"oci-archive:{file}")
    is_as_made(taker.take(taker.archive(file)), made)


@pytest.mark.system
def test_a_docker_archive_that_skopeo_wrote_has_the_same_diff_ids(taker: Taker, made: Picture) -> None:
    folder, file = made.write(taker.folder / "layout"), taker.folder / "x.tar"
    skopeo("copy", f"oci:{folder}", f"docker-archive:{file}:shop/x:1")
    with tarfile.open(file) as tar:
        assert any(member.issym() for member in tar), "what skopeo writes holds links, which are left out"
    base = taker.take(taker.archive(file))
    assert [layer.diff_id for layer in base.layers] == json.loads(made.config)["rootfs"]["diff_ids"]
    for layer in base.layers:
        assert layer.media_type == oci.LAYER_GZIP
        assert digest_of(gzip.decompress(taker.blobs.blobs[layer.digest])) == layer.diff_id
    again = Taker(taker.folder).take(taker.archive(file.rename(taker.folder / "y.tar")))
    assert again == base


def test_a_base_that_is_known_is_not_fetched_again(taker: Taker, made: Picture) -> None:
    source = taker.archive(tar_of(made.write(taker.folder / "layout")))
    first = taker.take(source)
    for layer in made.layers:
        (taker.folder / "unpacked-layout.tar" / "blobs" / "sha256" / layer[7:]).unlink()
    assert taker.take(source) == first
    # What the hub has deleted since is fetched, which fails here.
    taker.blobs.blobs.clear()
    with pytest.raises(BaseRefusedError, match="not in it"):
        taker.take(source)


ZEROS = "sha256:" + "0" * 64
BROKEN: dict[str, dict[str, Any]] = {
    "other diff ids": {"rootfs": {"type": "layers", "diff_ids": [ZEROS, ZEROS]}},
    "fewer diff ids": {"rootfs": {"type": "layers", "diff_ids": []}},
    "a layer elsewhere": {"layer_type": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"},
    "an artifact": {"layer_type": "application/vnd.something"},
    "no configuration": {"manifest_config": {"mediaType": oci.CONFIG, "digest": ZEROS, "size": 2}},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_layout_that_does_not_fit_together_is_refused(taker: Taker, name: str) -> None:
    made = picture(python_layers(12), **BROKEN[name])
    with pytest.raises(BaseRefusedError):
        taker.take(taker.archive(tar_of(made.write(taker.folder / "layout"))))
    assert taker.blobs.blobs == {}


def test_a_layer_with_other_bytes_is_refused(taker: Taker, made: Picture) -> None:
    folder = made.write(taker.folder / "layout")
    place = folder / "blobs" / "sha256" / made.layers[0][7:]
    place.write_bytes(place.read_bytes()[:-1] + b"!")
    with pytest.raises(BaseRefusedError, match="digest"):
        taker.take(taker.archive(tar_of(folder)))
    assert taker.blobs.blobs == {}


def docker_archive(
    folder: Path, layers: list[str], config: str = "c.json", extra: tuple[tarfile.TarInfo, ...] = ()
) -> Path:
    diff = layer_tar({"a": Item(b"a")})
    system, _, architecture = PLATFORM.partition("/")
    told = {"architecture": architecture, "os": system, "rootfs": {"diff_ids": [digest_of(diff)]}}
    files = {
        "c.json": json.dumps(told).encode(),
        "l/layer.tar": diff,
        "manifest.json": json.dumps([{"Config": config, "Layers": layers}]).encode(),
    }
    with tarfile.open(folder / "d.tar", "w") as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
        for one in extra:
            tar.addfile(one)
    return folder / "d.tar"


@pytest.mark.parametrize("layer", ["../../etc/passwd", "/etc/passwd", "none.tar", "l", "link/layer.tar"])
def test_a_docker_archive_names_only_what_is_in_it(taker: Taker, layer: str) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    with pytest.raises(BaseRefusedError, match="in it"):
        taker.take(taker.archive(docker_archive(taker.folder, [layer], extra=(link,))))


def test_a_docker_archive_without_python_says_so(taker: Taker) -> None:
    with pytest.raises(BaseRefusedError, match="no Python"):
        taker.take(taker.archive(docker_archive(taker.folder, ["l/layer.tar"])))


def test_an_archive_that_leads_out_is_refused(taker: Taker) -> None:
    with pytest.raises(ArchiveRefusedError):
        taker.archive(docker_archive(taker.folder, ["l/layer.tar"], extra=(tarfile.TarInfo("../x"),)))


def test_what_is_neither_is_told(taker: Taker) -> None:
    (taker.folder / "plain").mkdir()
    with pytest.raises(BaseRefusedError, match="neither an OCI layout nor a docker-archive"):
        taker.archive(tar_of(taker.folder / "plain"))


def test_urls_of_layers_are_never_followed(taker: Taker) -> None:
    """A registry that has a layer only as an address elsewhere does not have it."""
    made = picture(python_layers(12))
    manifest = json.loads(made.manifest)
    for layer in manifest["layers"]:
        layer["urls"] = [f"http://{EVIL}/layer", "http://169.254.169.254/", "http://127.0.0.1/"]
    data = json.dumps(manifest).encode()

    def good(request: Request) -> Told:
        if "/manifests/" in request.path:
            return Told(200, data, {"Content-Type": oci.MANIFEST})
        asked = request.path.rpartition("/")[2]
        return Told(404) if asked in made.layers else Told(200, made.blobs[asked])

    with stage(good, lambda _: Told(200, made.blobs[made.layers[0]])) as at:
        source = RegistryBase(at.requests(None), parse_reference(f"{GOOD}/a/b"), cancelled=lambda: False)
        with pytest.raises(Exception, match="does not have it"):
            taker.take(source)
        assert (at.evil.connections, at.trap.connections) == (0, 0)


def test_a_reference_is_looked_up_once(taker: Taker) -> None:
    """For several platforms the tag must not lead to two images, whatever it is moved to meanwhile."""
    first, second = picture(python_layers(12)), picture(python_layers(11))
    tags = [first.index, second.index]

    def good(request: Request) -> Told:
        asked = request.path.rpartition("/")[2]
        if asked == "latest":
            return Told(200, tags.pop(0), {"Content-Type": oci.INDEX})
        return Told(
            200,
            (first.blobs | second.blobs)[asked],
            {"Content-Type": oci.MANIFEST if "/manifests/" in request.path else "x"},
        )

    with stage(good) as at:
        source = RegistryBase(at.requests(None), parse_reference(f"{GOOD}/a/b"), cancelled=lambda: False)
        base = taker.take(source)
        assert taker.take(source) == base
        assert base.source == f"oci:{GOOD}/a/b@{digest_of(first.index)}"
        assert len(tags) == 1


def test_a_list_of_lists_is_refused(taker: Taker) -> None:
    inner = picture(python_layers(12))
    system, _, architecture = PLATFORM.partition("/")
    outer = json.dumps(
        {"manifests": [{"mediaType": oci.INDEX, "digest": digest_of(inner.index), "size": len(inner.index),
                        "platform": {"os": system, "architecture": architecture}}]}
    ).encode()  # fmt: skip
    answers = {"latest": outer, digest_of(inner.index): inner.index}
    with stage(lambda request: Told(200, answers[request.path.rpartition("/")[2]])) as at:
        source = RegistryBase(at.requests(None), parse_reference(f"{GOOD}/a/b"), cancelled=lambda: False)
        with pytest.raises(RegistryContentError, match="another list"):
            taker.take(source)


@pytest.mark.system
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_a_base_in_docker_registry_is_taken_as_it_is(
    taker: Taker, made: Picture, registry: DockerRegistry, form: str
) -> None:
    folder = made.write(taker.folder / "layout")
    target = f"docker://{registry.name}/library/python:{form}"
    skopeo("copy", "--format", form, *registry.options("dest"), f"oci:{folder}", target)
    source = RegistryBase(
        registry.requests(),
        parse_reference(f"{registry.name}/library/python:{form}"),
        cancelled=lambda: False,
    )
    base = taker.take(source)
    assert [layer.digest for layer in base.layers] == made.layers
    assert base.source == f"oci:{registry.name}/library/python@{base.digest}"
    assert base.python.version == "3.12"
    with pytest.raises(BasePlatformError):
        taker.take(source, OTHER_PLATFORM)
