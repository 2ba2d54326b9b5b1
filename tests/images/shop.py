"""A hub in which an image was built, for tests of what a hub makes of a build."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud_hub.api.app import create_app
from cloud_hub.core import Core
from cloud_hub.init import initialise
from cloud_hub.sdk import Context, Image, Workspace
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.wiring import build_services
from tests.api.conftest import ADMIN, World, serving

SCRIPT = b"import tomli_w\n\ndef init():\n    pass\n\ndef run(raw_data):\n    return raw_data\n"
PYPROJECT = (
    b'[project]\nname = "x"\nversion = "1"\ndependencies = ["tomli_w>=1"]\nrequires-python = ">=3.11"\n'
)


@dataclass(frozen=True)
class Shop:
    """A hub with one workspace, and an image that was built in it with a script and a package more."""

    services: Services
    workspace: Workspace
    image: Image
    log: list[str]
    data_dir: Path
    context: Context


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, wheels_dir: Path, model: Path) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("builds")
    settings = Settings(data_dir=folder / "hub")
    token = initialise(settings)
    core = Core.open(settings)
    services = build_services(settings, core, lambda _device, _envelope: None)
    services.workspaces.create("shop", ADMIN)
    app = create_app(services)
    shutil.copytree(wheels_dir, settings.data_dir / "cache/wheels", copy_function=os.link)
    services.activities.begin()
    with serving(app, core) as client, World(app, services, client, token, core).sdk() as hub:
        workspace = hub.workspace("shop")
        workspace.register_model("double", model)
        script, project = folder / "score.py", folder / "pyproject.toml"
        script.write_bytes(SCRIPT)
        project.write_bytes(PYPROJECT)
        log: list[str] = []
        image = workspace.build_image(
            "double",
            "double:1",
            script,
            lambda event: log.append(getattr(event, "text", "")),
            compression="zstd",
            pyproject=project,
        )
        ca_pem = (core.certificate.parent / "ca.pem").read_text()
        url = str(client.base_url).rstrip("/")
        context = Context(hub=url, ca_pem=ca_pem, token=token, workspace="shop")
        yield Shop(services, workspace, image, log, settings.data_dir, context)
    services.activities.close()
    core.database.close()
