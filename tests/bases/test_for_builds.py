"""Bases as builds of a hub ask for them: over docker-registry with a secret, and as uploads."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cloud_hub.blobs.owners import uploads_of
from cloud_hub.blobs.service import OCTETS
from cloud_hub.errors import InvalidInputError, NotFoundError
from cloud_hub.images.bases.for_builds import Bases, environment_of
from cloud_hub.images.bases.ports import BasePython
from cloud_hub.images.build.bases import Asked, Base
from cloud_hub.images.build.ports import Layer
from cloud_hub.oci_client.errors import InvalidReferenceError, RegistryDeniedError
from cloud_hub.sdk.base_files import base_archive
from cloud_hub.sdk.errors import SdkError
from cloud_hub.secrets.text import SecretText
from tests.bases.pictures import PLATFORM, Picture, digest_of, picture, python_layers
from tests.image_stores.hub import BY, World, hub
from tests.oci_client.docker_registry import PASSWORD, USER, DockerRegistry
from tests.oci_client.docker_registry import registry as registry  # noqa: PLC0414  a fixture

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, registry: DockerRegistry) -> Iterator[World]:
    with hub(tmp_path_factory.mktemp("hub"), registry) as world:
        world.services.secrets.write("shop", "registry", SecretText(f"{USER}:{PASSWORD}"), BY)
        yield world


@pytest.fixture(scope="module")
def made() -> Picture:
    return picture(python_layers(12), env=["PATH=/usr/local/bin", "PYTHONPATH=/x", "LANG=C.UTF-8"])


def bases_of(at: World) -> Bases:
    core = at.core
    return Bases(core.database, at.services.blobs, core.secrets, core.registries.access)


def take(at: World, base: str, secret: str | None, folder: Path, workspace: str = "shop") -> Base:
    said: list[str] = []
    with ExitStack() as closing:
        asked = Asked(base, PLATFORM, folder, lambda: False, said.append)
        return bases_of(at).of(workspace, secret).base(asked, closing)


def is_as_made(base: Base, made: Picture) -> None:
    layers = [one for one in base.layers if isinstance(one, Layer)]
    assert [layer.digest for layer in layers] == made.layers
    assert base.python == "/usr/local/bin/python3.12"
    assert base.environment == ("PATH=/usr/local/bin", "LANG=C.UTF-8")
    assert base.target.python_version == "3.12"
    assert base.target.libc.startswith("glibc 2.")


def test_a_private_base_needs_its_secret(
    at: World, made: Picture, registry: DockerRegistry, tmp_path: Path
) -> None:
    folder = made.write(tmp_path / "layout")
    target = f"docker://{registry.name}/team/python:1"
    registry.skopeo("copy", "--preserve-digests", *registry.options("dest"), f"oci:{folder}", target)
    reference = f"oci:{registry.name}/team/python:1"
    with pytest.raises(RegistryDeniedError):
        take(at, reference, None, tmp_path)
    base = take(at, reference, "registry", tmp_path)
    is_as_made(base, made)
    assert base.name == f"oci:{registry.name}/team/python@{made.digest}"
    assert base.digest == made.digest
    assert all(at.is_here(layer) for layer in made.layers)
    # Known by now; but who has no credential of their own has not shown that they may read it.
    with pytest.raises(RegistryDeniedError):
        take(at, reference, None, tmp_path, "lab")


def test_an_upload_is_its_workspaces_alone(at: World, made: Picture, tmp_path: Path) -> None:
    with base_archive(made.write(tmp_path / "layout")) as archive:
        data = archive.read_bytes()
    with at.core.database.transaction() as session:
        digest = at.services.blobs.save_bytes(data)
        at.services.blobs.link(session, uploads_of("shop"), digest, len(data), OCTETS)
    is_as_made(take(at, f"blob:{digest}", None, tmp_path), made)
    assert list(tmp_path.iterdir()) == [tmp_path / "layout"]
    with pytest.raises(NotFoundError):
        take(at, f"blob:{digest}", None, tmp_path, "lab")


def test_the_same_layout_is_the_same_upload(made: Picture, tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        with base_archive(made.write(tmp_path / name)) as archive:
            digests.add(digest_of(archive.read_bytes()))
    assert len(digests) == 1
    with pytest.raises(SdkError, match="no folder with an OCI layout"), base_archive(tmp_path):
        pass


@pytest.mark.parametrize(
    ("base", "secret", "kind"),
    [
        ("oci:UPPER/..", None, InvalidReferenceError),
        ("oci:registry.test/x", "none", NotFoundError),
        ("host", "registry", InvalidInputError),
        ("blob:sha256:" + "0" * 64, None, NotFoundError),
        ("blob:sha256:" + "0" * 64, "registry", InvalidInputError),
    ],
)
def test_what_no_build_can_have_is_refused_at_once(
    at: World, base: str, secret: str | None, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        bases_of(at).check("shop", base, secret)


def test_a_base_environment_cannot_lead_python_astray() -> None:
    python = BasePython("/opt/p/bin/python3.12", "3.12", "3.12.1", "cpython-312", "glibc", "2.36")
    told = (
        "PYTHONHOME=/x",
        "PYTHONPATH=/y",
        "HEADLAND_LISTEN=tcp:1",
        "ORT_DISABLE_TELEMETRY=0",
        "A=1",
        "broken",
    )
    assert environment_of(told, python) == ("PATH=/opt/p/bin:/usr/bin:/bin", "A=1")
    assert environment_of(("PATH=/z",), python) == ("PATH=/z",)
