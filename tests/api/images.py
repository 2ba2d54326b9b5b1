"""Images as other tools push them, and what uses them: for tests of the image registry."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from cloud_hub.audit.actor import Actor
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import OCTETS
from cloud_hub.registry.service import Registry
from cloud_hub.sdk import HubRefusedError, Image
from cloud_hub.services import Services
from contract.digests import sha256
from contract.messages import ModuleReport, OutboxReport, Reported
from tests.api.conftest import World
from tests.registry.content import Content, image, index, referrer

BY = Actor("ana")
REPOSITORY = "shop/digits"
SBOM = json.dumps(
    {
        "spdxVersion": "SPDX-2.3",
        "packages": [
            {"name": "image", "versionInfo": "NOASSERTION"},
            {"name": "numpy", "versionInfo": "2.1.0"},
            {"name": "Pillow", "versionInfo": "11.0.0"},
        ],
    }
).encode()
SPDX = "application/spdx+json"


def config(architecture: str, *layers: bytes, **more: Any) -> bytes:
    """Return a configuration; a layer's diff id is the digest of its bytes reversed, for want of a tar."""
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer[::-1]) for layer in layers]},
    }
    return json.dumps(document | more).encode()


def of_platform(architecture: str, *layers: bytes, **more: Any) -> Content:
    """Return the manifest of one platform."""
    return image(*layers, config=config(architecture, *layers), **more)


def of_platforms(*layers: bytes, architectures: tuple[str, ...] = ("amd64", "arm64")) -> list[Content]:
    """Return manifests that share ``layers`` and have one of their own each, and at last their index."""
    manifests = [of_platform(one, *layers, b"only " + one.encode()) for one in architectures]
    entries = [
        one.descriptor | {"platform": {"architecture": architecture, "os": "linux"}}
        for one, architecture in zip(manifests, architectures, strict=True)
    ]
    return [*manifests, index(*manifests, manifests=entries)]


def push(services: Services, repository: str, *contents: Content, tags: tuple[str, ...] = ()) -> str:
    """Put manifests and what they name into a repository, as a push does; return the last one's digest."""
    registry: Registry = services.registry
    digest = ""
    with services.database.transaction() as session:
        for content in contents:
            for blob in content.blobs.values():
                registry.blobs.link(session, repository, registry.blobs.save_bytes(blob), len(blob), OCTETS)
            last = tags if content is contents[-1] else ()
            digest = registry.keep_manifest(session, repository, content.data, content.media_type, tags=last)
    return digest


def attach(
    services: Services, repository: str, subject: Content, payload: bytes, artifact_type: str
) -> Content:
    """Attach a document to what is in a repository."""
    content = referrer(subject, payload, artifact_type)
    push(services, repository, content)
    return content


def blobs_of(*contents: Content) -> Iterator[str]:
    """Yield the digests of manifests and of what they name."""
    for content in contents:
        yield content.digest
        yield from content.blobs


def roll_out(services: Services, name: str, module_image: str, *devices: str) -> None:
    """Apply a rollout to devices, which are made where they are missing."""
    text = (
        f"apiVersion: headland/v1\nkind: Rollout\nmetadata:\n  name: {name}\nspec:\n"
        f"  target:\n    devices: [{', '.join(devices)}]\n"
        f"  modules:\n    scorer:\n      image: {module_image}\n"
    )
    services.rollouts.apply("shop", text, BY)


def report(
    services: Services,
    device: str,
    generation: int,
    module_image: str | None,
    outbox: OutboxReport | None = None,
) -> None:
    """Let a device say what it runs."""
    module = ModuleReport(name="scorer", state="running", image=module_image or "", digest=sha256(b""))
    report = Reported(
        generation=generation,
        at=datetime.now(UTC),
        converged=True,
        modules=(module,) if module_image else (),
        outbox=outbox or OutboxReport(pending=0, dropped=0),
    )
    services.devices.heard([(device, report)])


def names(images: list[Image]) -> list[str]:
    """Return them as name:version."""
    return [f"{one.name}:{one.version}" for one in images]


def refused(act: Any, *arguments: Any, **options: Any) -> HubRefusedError:
    """Return what the hub says no with."""
    with pytest.raises(HubRefusedError) as caught:
        act(*arguments, **options)
    return caught.value


def links(world: World, repository: str = REPOSITORY) -> set[str]:
    """Return the digests that a repository holds."""
    with world.core.database.reading() as session:
        return {link.digest for link in session.query(BlobLinkRow).filter_by(owner=repository)}
