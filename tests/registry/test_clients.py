"""Real clients against the hub over TLS: skopeo, podman, the device's own pull. One pushes, others run."""

import json
import os
import platform
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.pull import pull_image
from agent.artifacts.store import ContentStore
from agent.drivers.port import ContainerSpec
from agent.drivers.runc import RuncDriver
from contract import oci
from contract.desired import ImageRef, Limits
from contract.digests import sha256
from contract.enrolment import EnrolRequest
from tests.api.conftest import ADMIN, World
from tests.drivers.rig import exited
from tests.registry.content import image, index
from tests.registry.program import program as program  # noqa: PLC0414  a fixture
from tests.registry.tools import Tools, needing
from tests.registry.wire import Wire

pytestmark = pytest.mark.system


@pytest.fixture
def tools(host: str, ca: Path, token: str, tmp_path: Path) -> Tools:
    return Tools.make(tmp_path / "tools", host, ca, token)


def test_skopeo_copies_in_and_out_with_digests_kept(tools: Tools, wire: Wire, tmp_path: Path) -> None:
    with needing("skopeo"):
        one, other = image(b"amd64's layer"), image(b"arm64's layer")
        platforms = [
            each.descriptor | {"platform": {"os": "linux", "architecture": name}}
            for each, name in ((one, "amd64"), (other, "arm64"))
        ]
        whole = index(manifests=platforms)
        for content in (one, other, whole):
            wire.push("shop/skopeo", content, "" if content is not whole else "from-wire")
        layout = tmp_path / "layout"
        tools.skopeo_copy("hub:shop/skopeo:from-wire", f"oci:{layout}:x", "--all")
        tools.skopeo_copy(f"oci:{layout}:x", "hub:lab/copied:back", "--all")
        pulled = wire.ask("GET", "lab/copied/manifests/back", headers={"Accept": oci.INDEX})
        assert pulled.headers["Docker-Content-Digest"] == whole.digest
        assert wire.ask("GET", f"lab/copied/blobs/{sha256(b'arm64s layer')}").status_code == 404
        assert wire.ask("GET", "lab/copied/blobs/" + sha256(b"arm64's layer")).content == b"arm64's layer"


def test_skopeo_copies_from_one_repository_into_another(tools: Tools, wire: Wire) -> None:
    with needing("skopeo"):
        content = image(b"goes from shop to lab")
        wire.push("shop/source", content, "v")
        tools.skopeo_copy("hub:shop/source:v", "hub:lab/target:v")
        assert wire.ask("HEAD", "lab/target/manifests/v").headers["Docker-Content-Digest"] == content.digest


def test_skopeo_lists_inspects_and_deletes(tools: Tools, wire: Wire) -> None:
    with needing("skopeo"):
        for tag in ("a", "b"):
            wire.push("shop/listed", image(tag.encode(), config=_config()), tag)
        access = ("--cert-dir", str(tools.folder / "certs"), "--creds", f"any:{tools.token}")
        listed = tools.run("skopeo", "list-tags", *access, f"docker://{tools.host}/shop/listed")
        assert json.loads(listed.stdout)["Tags"] == ["a", "b"]
        shown = tools.run("skopeo", "inspect", *access, f"docker://{tools.image('shop/listed', 'a')}")
        assert json.loads(shown.stdout)["Layers"] == [sha256(b"a")]
        tools.run("skopeo", "delete", *access, f"docker://{tools.image('shop/listed', 'a')}")
        assert wire.ask("GET", "shop/listed/tags/list").json()["tags"] == ["b"]


def test_a_reader_is_told_why_skopeo_may_not_push(world: World, tools: Tools, tmp_path: Path) -> None:
    with needing("skopeo"):
        reader = world.token("rita", {"shop": "Reader"})
        layout = _layout(tmp_path / "layout", b"x")
        own = Tools(tools.folder, tools.host, reader)
        with pytest.raises(AssertionError, match=r"denied|unauthorized"):
            own.skopeo_copy(f"oci:{layout}", "hub:shop/refused:x")


def test_a_device_certificate_is_enough_for_skopeo(
    world: World, tools: Tools, wire: Wire, tmp_path: Path
) -> None:
    with needing("skopeo"):
        content = image(b"for a device")
        wire.push("shop/fordevice", content, "v")
        certificates = tools.folder / "certs"
        _enrol(world, certificates)
        layout = tmp_path / "pulled"
        tools.run(
            "skopeo", "--policy", tools.folder / "policy.json", "copy", "--preserve-digests",
            "--src-cert-dir", certificates,
            f"docker://{tools.image('shop/fordevice', 'v')}", f"oci:{layout}:v",
        )  # fmt: skip
        assert (layout / "blobs/sha256" / content.digest.partition(":")[2]).exists()


@pytest.fixture
def podman(tools: Tools) -> Iterator[Tools]:
    """Tools with podman logged in; its storage is taken apart after the test."""
    with needing("podman", "runc"):
        tools.podman_login()
        yield tools
        tools.podman("system", "reset", "--force", check=False)


def test_podman_pushes_and_the_hub_hands_out(
    podman: Tools, wire: Wire, program: Path, tmp_path: Path
) -> None:
    name = podman.image("shop/bypodman", "latest")
    _build(podman, name, program, tmp_path / "context")
    podman.podman("push", *podman.podman_options, name)
    pushed = wire.ask("GET", "shop/bypodman/manifests/latest")
    assert pushed.headers["Content-Type"] == oci.MANIFEST
    podman.podman("rmi", "--all", "--force")
    podman.podman("pull", *podman.podman_options, name)
    ran = podman.podman("run", "--rm", "--network", "none", name, check=False)
    assert (ran.returncode, ran.stdout) == (7, "it runs\n"), ran.stderr


def test_what_podman_builds_a_device_pulls_and_runs(
    world: World, podman: Tools, program: Path, tmp_path: Path
) -> None:
    """Built by podman from scratch, pushed to the hub; pulled and run by the agent's own code, under runc."""
    _build(podman, "localhost/fromscratch", program, tmp_path / "context")
    name = podman.image("shop/fordevices", "1")
    podman.podman("push", *podman.podman_options, "localhost/fromscratch", name)
    digest = world.services.registry.manifest("shop/fordevices", "1").digest

    certificates = tmp_path / "device"
    certificates.mkdir()
    _enrol(world, certificates, "cam-2")
    context = ssl.create_default_context(cafile=str(world.core.certificate.parent / "ca.pem"))
    context.load_cert_chain(certificates / "device.cert", certificates / "device.key")
    registry = HttpsRegistry(f"https://{podman.host}", context)
    ref = ImageRef(repository="shop/fordevices", digest=digest, name="fordevices:1")
    staged = pull_image(ref, registry, ContentStore(tmp_path / "content"))
    assert world.services.registry.pulled("cam-2")[1] == 3  # the manifest, the configuration, one layer

    driver = RuncDriver(tmp_path / "state")
    (tmp_path / "home").mkdir()
    spec = ContainerSpec(
        id=f"pushed-{os.getpid()}",
        layers=staged.layers,
        args=staged.config.config.Entrypoint,
        env={},
        cwd="/",
        user="",
        mounts=(),
        limits=Limits(),
        home=tmp_path / "home",
        log=tmp_path / "log",
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        driver.start(spec, listener.fileno())
        exited(driver, spec.id)
        driver.remove(spec.id)
    assert spec.log.read_text() == "it runs\n"


def _build(podman: Tools, name: str, program: Path, context: Path) -> None:
    """Build an image of nothing but the program."""
    context.mkdir()
    (context / "main").write_bytes(program.read_bytes())
    (context / "main").chmod(0o755)
    (context / "Containerfile").write_text('FROM scratch\nCOPY main /main\nENTRYPOINT ["/main"]\n')
    podman.podman("build", "--isolation", "chroot", "--tag", name, str(context))


def _config() -> bytes:
    architecture = oci.architecture_of(platform.machine())
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
    ).encode()


def _layout(folder: Path, layer: bytes) -> Path:
    """Write an OCI layout with one image."""
    content = image(layer, config=_config())
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    for digest, data in (content.blobs | {content.digest: content.data}).items():
        (blobs / digest.partition(":")[2]).write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_bytes(index(content).data)
    return folder


def _enrol(world: World, certificates: Path, device: str = "cam-1") -> None:
    """Enrol a device of the workspace shop, and put its certificate where skopeo looks for one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatever")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    invitation = world.services.devices.invite("shop", device, timedelta(hours=1), ADMIN)
    answer = world.services.devices.enrol(
        EnrolRequest(
            token=invitation.token, csr_pem=request.public_bytes(serialization.Encoding.PEM).decode()
        ),
        ADMIN,
    )
    (certificates / "device.cert").write_text(answer.certificate_pem)
    (certificates / "device.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
