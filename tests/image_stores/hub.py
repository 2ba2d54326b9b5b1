"""A hub beside a docker-registry: real services over a real database and folder, asked over HTTP."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI

from cloud_hub.access.tokens import make_token
from cloud_hub.api.app import create_app
from cloud_hub.audit.actor import Actor
from cloud_hub.blobs.service import OCTETS
from cloud_hub.init import initialise
from cloud_hub.secrets.text import SecretText
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.wiring import Core, build_services
from contract import oci
from tests.bases.pictures import Picture
from tests.oci_client.docker_registry import PASSWORD, USER, DockerRegistry

BY = Actor("admin")
LATER = timedelta(days=1)


@dataclass
class World:
    """A hub with the workspaces shop and lab, and the registry."""

    services: Services
    core: Core
    app: FastAPI
    token: str
    registry: DockerRegistry

    def keep(self, repository: str, made: Picture, tag: str = "1") -> None:
        """Take an image in, as a build or a push does."""
        blobs = self.services.blobs
        with self.core.database.transaction() as session:
            for digest, data in made.blobs.items():
                if data != made.manifest:
                    assert blobs.save_bytes(data) == digest
                    blobs.link(session, repository, digest, len(data), OCTETS)
            self.services.registry.keep_manifest(session, repository, made.manifest, oci.MANIFEST)
            self.services.registry.keep_manifest(session, repository, made.index, oci.INDEX, tags=[tag])

    def choose(self, workspace: str = "shop", path: str = "team/images", secret: str = "registry") -> None:
        self.services.secrets.write(workspace, secret, SecretText(f"{USER}:{PASSWORD}"), BY)
        url = f"https://{self.registry.name}/{path}"
        self.services.image_stores.choose(workspace, url, secret, BY)

    def is_here(self, digest: str) -> bool:
        return self.services.blobs.exists(digest)

    def sweep(self) -> None:
        self.services.sweeper.sweep(datetime.now(UTC) + LATER)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        answer = self.ask(path, headers)
        return answer.status_code, answer.content

    def ask(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def asked() -> httpx.Response:
            door = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=door, base_url="https://hub.test") as client:
                return await client.get(
                    path, headers={"Authorization": f"Bearer {self.token}", **(headers or {})}
                )

        return asyncio.run(asked())


@contextmanager
def hub(folder: Path, registry: DockerRegistry, **settings: object) -> Iterator[World]:
    allowed = Settings(
        data_dir=folder / "hub",
        outbound_allow=(registry.name,),
        registry_certificates=str(registry.certificate),
        **settings,  # type: ignore[arg-type]
    )
    initialise(allowed)
    core = Core.open(allowed)
    services = build_services(allowed, core, lambda _device, _envelope: None)
    for workspace in ("shop", "lab"):
        services.workspaces.create(workspace, BY)
    services.people.create("ana", admin=False, by=BY)
    services.members.share("shop", "ana", "Owner", BY)
    with core.database.transaction() as session:
        token, _ = make_token(session, "ana", "access", role="Owner", lifetime=timedelta(hours=1))
    try:
        yield World(services, core, create_app(services), token, registry)
    finally:
        services.activities.close()
        core.database.close()
