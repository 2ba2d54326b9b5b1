"""A real HTTPS registry for one test, with its own CA, that misbehaves as told."""

import contextlib
import datetime
import gzip
import hashlib
import io
import ipaddress
import ssl
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contract import oci
from contract.desired import ImageRef
from contract.digests import sha256

TRICKLE_BYTES, TRICKLE_S = 100, 0.1
"""A slow registry: 1 kB/s."""


def make_tar(files: dict[str, bytes]) -> bytes:
    """Return a plain tar of regular files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@dataclass
class Registry:
    """What is served (by digest) and how it goes wrong; ``sent`` counts the bytes of bodies, by digest."""

    content: dict[str, bytes] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)
    flipped: set[str] = field(default_factory=set)
    status: dict[str, int] = field(default_factory=dict)
    longer: set[str] = field(default_factory=set)
    location: str = ""
    realm: str = ""
    """Where a registry that wants a token (status 401) sends for one."""
    instead: dict[str, bytes] = field(default_factory=dict)
    """What is sent for a digest in place of its content."""
    ranges_from: int | None = None
    """Where a range begins that is sent in place of the one that was asked for."""
    sent: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    trickle: set[str] = field(default_factory=set)
    heads: list[dict[str, str]] = field(default_factory=list)
    certificates: list[bytes | None] = field(default_factory=list)
    """What clients sent of themselves: headers, and certificates."""
    before_body: Callable[[str], None] = lambda _: None
    url: str = ""

    def add(self, data: bytes) -> str:
        """Serve ``data``; return its digest."""
        self.content[sha256(data)] = data
        return sha256(data)

    def add_image(
        self,
        layers: list[bytes],
        architecture: str,
        *,
        diff_ids: tuple[str, ...] = (),
        args: tuple[str, ...] = ("/bin/x",),
        name: str = "digits:1",
        pack: Callable[[bytes], bytes] = lambda plain: gzip.compress(plain, mtime=0),
    ) -> ImageRef:
        """Serve an image of these plain tars, by an index; return its reference."""
        descriptors = []
        for layer in layers:
            packed = pack(layer)
            descriptors.append(_descriptor(oci.LAYER_GZIP, self.add(packed), len(packed)))
        config = msgspec.json.encode(
            oci.ImageConfig(
                architecture=architecture,
                os="linux",
                config=oci.RunConfig(Entrypoint=args),
                rootfs=oci.RootFs(type="layers", diff_ids=diff_ids or tuple(map(sha256, layers))),
            )
        )
        manifest = msgspec.json.encode(
            oci.Manifest(
                schemaVersion=2,
                mediaType=oci.MANIFEST,
                config=_descriptor(oci.CONFIG, self.add(config), len(config)),
                layers=tuple(descriptors),
            )
        )
        entry = oci.Descriptor(
            mediaType=oci.MANIFEST,
            digest=self.add(manifest),
            size=len(manifest),
            platform=oci.Platform(architecture=architecture),
        )
        index = oci.Index(schemaVersion=2, mediaType=oci.INDEX, manifests=(entry,))
        return ImageRef(repository="ws/digits", digest=self.add(msgspec.json.encode(index)), name=name)


def _descriptor(media_type: str, digest: str, size: int) -> oci.Descriptor:
    return oci.Descriptor(mediaType=media_type, digest=digest, size=size)


def serve(
    registry: Registry,
    folder: Path,
    *,
    ask_for: Path | None = None,
    plain: bool = False,
    own: tuple[Path, Path] | None = None,
) -> tuple[ThreadingHTTPServer, ssl.SSLContext]:
    """Serve over TLS on a free port; return the server and a context that trusts only its CA.

    ``ask_for``: the CA whose certificates clients are asked for, and need not have. ``plain``: without TLS.
    ``own``: a certificate with its key, and the CA, in place of new ones.
    """
    certificate, ca = own or _certificate(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": registry}))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if ask_for is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(ask_for)
    if not plain:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    registry.url = f"{'http' if plain else 'https'}://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server, ssl.create_default_context(cafile=str(ca))


class _Handler(BaseHTTPRequestHandler):
    registry: Registry

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        *_, kind, digest = self.path.split("/")
        # A manifest and the list of what refers to it have one digest in their paths.
        digest = f"referrers/{digest}" if kind == "referrers" else digest
        self.registry.asked.append((self.path, self.headers.get("Range", "")))
        self.registry.heads.append(dict(self.headers.items()))
        if isinstance(self.connection, ssl.SSLSocket):
            self.registry.certificates.append(self.connection.getpeercert(binary_form=True))
        status = self.registry.status.get(digest, 200 if digest in self.registry.content else 404)
        if status != 200:
            self._refuse(status)
            return
        with contextlib.suppress(OSError):  # a client that leaves has its reasons
            self._send(digest, self.registry.content[digest])

    def do_POST(self) -> None:
        self.registry.asked.append((f"POST {self.path}", ""))
        self._refuse(404)

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        if self.registry.location:
            self.send_header("Location", self.registry.location)
        if self.registry.realm:
            self.send_header("WWW-Authenticate", f'Bearer realm="{self.registry.realm}",service="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, digest: str, data: bytes) -> None:
        data = self.registry.instead.get(digest, data)
        if digest in self.registry.flipped:
            data = bytes([data[0] ^ 1]) + data[1:]
        if digest in self.registry.longer:
            data += b"more"
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start and self.registry.ranges_from is not None:
            start = self.registry.ranges_from
        body = data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.registry.before_body(digest)
        body = body[: self.registry.cut_after.pop(digest, len(body))]
        step = len(body) if digest not in self.registry.trickle else TRICKLE_BYTES
        for start in range(0, len(body), max(step, 1)):
            if step < len(body):
                time.sleep(TRICKLE_S)
            self.wfile.write(body[start : start + step])
            sent = len(body[start : start + step])
            self.registry.sent[digest] = self.registry.sent.get(digest, 0) + sent


def _certificate(folder: Path) -> tuple[Path, Path]:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test ca")])
    now = datetime.datetime.now(datetime.UTC)

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(ca_name).public_key(public)
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - datetime.timedelta(hours=1))
        return made.not_valid_after(now + datetime.timedelta(hours=1))

    ca = builder(ca_name, ca_key.public_key()).add_extension(x509.BasicConstraints(True, None), True)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = builder(x509.Name([]), key.public_key()).add_extension(address, critical=True)
    ca_path, path = folder / "ca.pem", folder / "server.pem"
    pem = serialization.Encoding.PEM
    ca_path.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + leaf.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    return path, ca_path


def tree(folder: Path) -> dict[str, str]:
    """Return every path below ``folder`` with a digest of what it is: to see that nothing changed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        facts = [oct(status.st_mode), str(status.st_nlink)]
        if path.is_symlink():
            facts.append(str(path.readlink()))
        elif path.is_file():
            facts.append(hashlib.sha256(path.read_bytes()).hexdigest())
        found[str(path.relative_to(folder))] = " ".join(facts)
    return found
