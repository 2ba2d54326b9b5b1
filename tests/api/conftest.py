"""The hub's HTTPS server over a real database, store and CA; only the broker is not there."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete
from typer.testing import CliRunner

from cloud_hub.access.roles import Role
from cloud_hub.access.rows import AttemptRow, MembershipRow
from cloud_hub.access.tokens import make_token
from cloud_hub.api.app import create_app
from cloud_hub.api.server import HttpsServer
from cloud_hub.audit.actor import Actor
from cloud_hub.cli import app as cli
from cloud_hub.core import Core
from cloud_hub.sdk import Context, Hub, Workspace
from cloud_hub.sdk.context import save_context
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.wiring import build_services
from tests.api.hub import new_hub

PASSWORD = "correct horse battery"
ADMIN = Actor("admin")
Command = Callable[..., str]


@dataclass(frozen=True)
class World:
    """The application, its services, and a client without a token; workspaces ``shop`` and ``lab``."""

    app: FastAPI
    services: Services
    client: httpx.Client
    admin_token: str
    core: Core

    def token(
        self, name: str, roles: dict[str, Role], *, cap: Role = "Owner", only: str | None = None
    ) -> str:
        """Return a new token of a person ``name`` who holds exactly ``roles``."""
        known = {person.name for person in self.services.people.all()}
        if name not in known:
            self.services.people.create(name, admin=False, by=ADMIN)
        with self.core.database.transaction() as session:
            for workspace in ("shop", "lab"):
                row = session.get(MembershipRow, (workspace, name))
                if row is not None:
                    session.delete(row)
            session.flush()
        for workspace, role in roles.items():
            assert role != "Admin"
            self.services.members.share(workspace, name, role, ADMIN)
        with self.core.database.transaction() as session:
            return make_token(session, name, "access", role=cap, lifetime=timedelta(hours=1), workspace=only)[
                0
            ]

    def forget_attempts(self) -> None:
        """Let wrong credentials be tried again."""
        with self.core.database.transaction() as session:
            session.execute(delete(AttemptRow))

    def sdk(self, token: str = "") -> Hub:
        """Return the SDK's door to this hub, as the administrator or as who has ``token``."""
        ca_pem = (self.core.certificate.parent / "ca.pem").read_text()
        where = str(self.client.base_url).rstrip("/")
        return Hub(Context(hub=where, ca_pem=ca_pem, token=token or self.admin_token, workspace="shop"))

    def administrator(self) -> str:
        """Return a new token of the administrator."""
        with self.core.database.transaction() as session:
            return make_token(session, "admin", "access", role="Admin", lifetime=timedelta(hours=1))[0]


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The hub's settings; a test module may have others."""
    return Settings(data_dir=tmp_path / "hub")


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """A hub of the test's own."""
    with hub_of(settings) as world:
        yield world


@pytest.fixture
def token(world: World) -> str:
    """The token of a contributor to shop."""
    return world.token("ana", {"shop": "Contributor"})


@pytest.fixture
def shop(world: World, token: str) -> Iterator[Workspace]:
    """The workspace shop, as that contributor has it."""
    with world.sdk(token) as hub:
        yield hub.workspace("shop")


@contextmanager
def hub_of(settings: Settings) -> Iterator[World]:
    """Run a hub as `initialise` makes it, with two workspaces."""
    admin_token = new_hub(settings)
    core = Core.open(settings)
    services = build_services(settings, core, lambda _device, _envelope: None)
    for workspace in ("shop", "lab"):
        services.workspaces.create(workspace, ADMIN)
    app = create_app(services)
    with serving(app, core) as client:
        yield World(app, services, client, admin_token, core)
    services.activities.close()
    core.database.close()


@contextmanager
def serving(app: FastAPI, core: Core) -> Iterator[httpx.Client]:
    """Serve an application on a free port of the loopback; yield a client that believes in its CA."""
    ca = core.certificate.parent / "ca.pem"
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpsServer(app, certificate=core.certificate, key=core.key, client_ca=ca)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        tls = ssl.create_default_context(cafile=str(ca))
        # Fifty passwords are hashed two at a time: how long that takes says nothing on a shared machine.
        where = f"https://localhost:{listener.getsockname()[1]}"
        with httpx.Client(base_url=where, verify=tls, timeout=60) as client:
            yield client
    finally:
        server.stop()
        thread.join()
        listener.close()


@pytest.fixture
def headland(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command as the administrator in the workspace shop; its error leaves as the exception."""
    ca_pem = (world.core.certificate.parent / "ca.pem").read_text()
    monkeypatch.setenv("HEADLAND_CONTEXT", str(tmp_path / "context.json"))
    url = str(world.client.base_url).rstrip("/")
    save_context(Context(hub=url, ca_pem=ca_pem, token=world.admin_token, workspace="shop"))

    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli.app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return run
