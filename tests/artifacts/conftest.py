"""A registry that is served, and a store."""

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.store import ContentStore
from contract.oci import architecture_of
from tests.artifacts.registry import Registry, serve


@dataclass
class Site:
    """A served registry, the client of it, a store, and where they keep their files."""

    served: Registry
    client: HttpsRegistry
    store: ContentStore
    folder: Path
    context: ssl.SSLContext

    architecture: str = architecture_of(os.uname().machine)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a site with nothing in it."""
    registry = Registry()
    server, context = serve(registry, tmp_path)
    client = HttpsRegistry(registry.url, context, timeout_s=5)
    yield Site(registry, client, ContentStore(tmp_path / "content"), tmp_path, context)
    server.shutdown()
    server.server_close()
