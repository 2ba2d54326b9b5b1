"""A shop: a hub's registry that counts, and devices of one hub CA beside each other, on real sockets."""

import contextlib
import http.client
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.artifacts.delta import Savings
from agent.artifacts.fetch import HttpsRegistry, Registry
from agent.artifacts.places import Source, registry_of
from agent.artifacts.pull import StagedImage, pull_image
from agent.artifacts.room import Reserve
from agent.artifacts.store import ContentStore
from agent.identity import store as identities
from agent.neighbours.giving import Limits
from agent.neighbours.opening import Serving, contexts, open_serving
from agent.neighbours.server import NeighbourServer
from agent.neighbours.settings import Neighbours
from agent.neighbours.shelf import FolderShelf
from cloud_hub.pki.authority import Authority, private_key_pem
from contract.desired import ImageRef
from simulators.demo.stage import free_port
from tests.artifacts.conftest import Site
from tests.artifacts.registry import Registry as Served

WAIT_S = 10.0


def identity(
    authority: Authority, folder: Path, device: str, *, now: datetime | None = None
) -> identities.Identity:
    """Enrol a device without the hub: a key, and the authority's certificate for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    csr = request.public_bytes(serialization.Encoding.PEM)
    issued = authority.issue_device(csr, device, now or datetime.now(UTC))
    facts = identities.DeviceFacts(
        device=device, workspace="shop", hub="https://hub", mqtt_host="hub", mqtt_port=1, desired_keys={}
    )
    return identities.save(
        folder,
        facts,
        key_pem=private_key_pem(key),
        certificate_pem=issued.certificate_pem.decode(),
        ca_pem=authority.ca_pem.decode(),
    )


def wait_until(done: Any, what: str) -> None:
    """Wait for what another thread does."""
    until = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < until, what
        time.sleep(0.01)


@dataclass
class Device:
    """One device: its store, and what it gives at ``port``."""

    identity: identities.Identity
    store: ContentStore
    folder: Path
    port: int
    hub: HttpsRegistry
    savings: Savings = field(default_factory=Savings)
    serving: Serving | None = None

    @property
    def name(self) -> str:
        return self.identity.facts.device

    @property
    def source(self) -> Source:
        """As another device names it in its settings."""
        return Source(at=f"https://127.0.0.1:{self.port}", neighbour=self.name)

    @property
    def shelf(self) -> FolderShelf:
        assert isinstance(self.store.shelf, FolderShelf)
        return self.store.shelf

    def serve(self, *allow: str, limits: Limits | None = None, **settings: Any) -> None:
        """Begin to give layers to these devices."""
        wanted = Neighbours(listen=f"127.0.0.1:{self.port}", allow=allow, **settings)
        content = self.folder / "content"
        self.serving = open_serving(wanted, self.identity, self.store, content, self.savings)
        if limits is not None:
            parts = wanted, self.identity, self.store, self.shelf, self.savings, limits
            self.serving = NeighbourServer(*parts)
        self.serving.start()
        wait_until(self._is_there, "the port is there")

    def _is_there(self) -> bool:
        with contextlib.suppress(OSError), contextlib.closing(self.line()):
            return True
        return False

    def line(self) -> Any:
        """Return a plain connection to its port."""
        import socket

        return socket.create_connection(("127.0.0.1", self.port), WAIT_S)

    def registry(self, *sources: Source, wait_s: float = 0.0) -> Registry:
        """Return its way to images, as its agent makes it."""
        return registry_of(
            self.hub, sources, self.savings, context_for=contexts(self.identity), wait_s=wait_s
        )

    def pull(self, ref: ImageRef, *sources: Source, wait_s: float = 0.0) -> StagedImage:
        """Pull an image."""
        return pull_image(ref, self.registry(*sources, wait_s=wait_s), self.store, self.savings)

    def counts(self) -> tuple[object, object]:
        """What came from elsewhere, and how often a source was skipped."""
        report = self.savings.report()
        return report.elsewhere_bytes, report.skipped_sources

    def served_bytes(self) -> int:
        return self.savings.report().served_bytes or 0

    def ask(
        self,
        other: "Device",
        path: str,
        method: str = "GET",
        context: ssl.SSLContext | None = None,
        **fields: str,
    ) -> tuple[int, bytes, dict[str, str]]:
        """Ask another device for anything, with our certificate or with ``context``."""
        shown = context or contexts(self.identity)(other.name)
        connection = http.client.HTTPSConnection("127.0.0.1", other.port, context=shown, timeout=WAIT_S)
        try:
            connection.request(method, path, headers=fields)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.headers.items())
        finally:
            connection.close()


@dataclass
class Shop:
    """The hub's registry with one image, and its devices."""

    site: Site
    authority: Authority
    folder: Path
    devices: list[Device] = field(default_factory=list)

    @property
    def served(self) -> Served:
        """The hub."""
        return self.site.served

    def device(
        self, name: str, *, authority: Authority | None = None, reserve: Reserve | None = None
    ) -> Device:
        """Enrol a device."""
        folder = self.folder / f"{name}-{len(self.devices)}"
        folder.mkdir()
        store = ContentStore(folder / "content", reserve or Reserve())
        found = identity(authority or self.authority, folder / "identity", name)
        made = Device(found, store, folder, free_port(), self.site.client)
        self.devices.append(made)
        return made

    def layer_bytes_sent(self) -> int:
        """What the hub sent of layers: all that is larger than a manifest."""
        big = {digest for digest, data in self.served.content.items() if len(data) > 10_000}
        return sum(count for digest, count in self.served.sent.items() if digest in big)

    @property
    def largest(self) -> str:
        """Digest of the largest layer."""
        return max(self.served.content, key=lambda digest: len(self.served.content[digest]))


@contextmanager
def open_shop(site: Site, folder: Path) -> Iterator[Shop]:
    """Return a shop; its devices are closed afterwards."""
    (folder / "ca").mkdir()
    shop = Shop(site, Authority.create(folder / "ca"), folder)
    try:
        yield shop
    finally:
        for device in shop.devices:
            if device.serving is not None:
                device.serving.close()
