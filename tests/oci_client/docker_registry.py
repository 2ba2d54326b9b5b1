"""Debian's docker-registry on loopback, over TLS and with a password; skopeo as its other client."""

import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud_hub.oci_client.login import Login
from cloud_hub.oci_client.requests import RegistryRequests
from cloud_hub.outbound.client import Outbound
from cloud_hub.outbound.policy import parse_allowed
from cloud_hub.secrets.text import SecretText

USER, PASSWORD = "ana", "registry-password"
TOOLS = ("docker-registry", "skopeo")
# Of PASSWORD, with bcrypt at its least cost.
HTPASSWD = "ana:$2y$04$SF6gbNijWlhSdiq1bg2FFeBW4uj.nFFbmk9EED0sm5dEaO6fXiNem\n"

CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
  tls: {{certificate: {folder}/cert.pem, key: {folder}/key.pem}}
auth:
  htpasswd: {{realm: test, path: {folder}/htpasswd}}
"""


def why_not() -> str:
    """Return why the tools are not there, or nothing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"needs {', '.join(missing)}: apt-get install docker-registry skopeo" if missing else ""


@dataclass
class DockerRegistry:
    """A running registry; ``folder`` has its certificate and its data."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.pem"

    def requests(self, secret: str = f"{USER}:{PASSWORD}") -> RegistryRequests:
        outbound = Outbound(
            parse_allowed((self.name,)), tls=ssl.create_default_context(cafile=self.certificate)
        )
        return RegistryRequests(outbound, self.name, Login(SecretText(secret)) if secret else None)

    def skopeo(self, *arguments: str) -> str:
        """Run skopeo, which finds this registry's certificate and the password."""
        return subprocess.run(
            ["skopeo", "--insecure-policy", *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout

    def options(self, side: str) -> list[str]:
        """Return skopeo's options for ``src`` or ``dest`` at this registry."""
        return [f"--{side}-cert-dir", str(self.folder / "certs"), f"--{side}-creds", f"{USER}:{PASSWORD}"]

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(self.folder / "config.yml")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("docker-registry does not listen")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def docker_registry(folder: Path) -> Iterator[DockerRegistry]:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port: int = line.getsockname()[1]
    write_certificate(folder)
    (folder / "certs").mkdir()
    (folder / "certs" / "ca.crt").write_bytes((folder / "cert.pem").read_bytes())
    (folder / "htpasswd").write_text(HTPASSWD)
    (folder / "config.yml").write_text(CONFIG.format(folder=folder, port=port))
    registry = DockerRegistry(folder, port)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A registry that the tests of a module share."""
    if reason := why_not():
        pytest.skip(reason)
    with docker_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def write_certificate(folder: Path) -> None:
    """Write a certificate of 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry of the tests")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
