"""An image that Headland builds, pulled from the hub and run by podman, where it scores."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.api.conftest import World
from tests.hub.test_models import as_bytes, onnx_model
from tests.images.containers import ask
from tests.registry.tools import Tools, needing

pytestmark = [pytest.mark.soak, pytest.mark.system]
WAIT_S = 60.0
USER = 65532


def test_podman_runs_what_headland_built(world: World, token: str, tmp_path: Path) -> None:
    with needing("podman", "runc"):
        model = tmp_path / "model.onnx"
        model.write_bytes(as_bytes(onnx_model()))
        world.services.activities.begin(alone=True)
        with world.sdk(token) as hub:
            workspace = hub.workspace("shop")
            workspace.register_model("pump", model)
            workspace.build_image("pump", "pump:1")
        tools = Tools.make(
            tmp_path / "tools",
            f"localhost:{world.client.base_url.port}",
            world.core.certificate.parent / "ca.pem",
            token,
        )
        tools.podman_login()
        try:
            tools.podman("pull", *tools.podman_options, tools.image("shop/pump", "1"))
            _scores(tools, tmp_path / "shared")
        finally:
            tools.podman("rm", "--all", "--force", check=False)
            tools.podman("system", "reset", "--force", check=False)


def _scores(tools: Tools, shared: Path) -> None:
    shared.mkdir()
    os.chown(shared, USER, USER)
    tools.podman(
        "run", "--detach", "--name", "pump", "--network", "none", "--read-only", "--tmpfs", "/tmp",
        "--volume", f"{shared}:/run/headland", "--env", "HEADLAND_LISTEN=unix:/run/headland/score.sock",
        tools.image("shop/pump", "1"),
    )  # fmt: skip
    deadline = time.monotonic() + WAIT_S
    while not (shared / "score.sock").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    status, answer = ask(shared / "score.sock", "GET", "/v2/models/pump")
    said = tools.podman("logs", "pump", check=False)
    assert status == 200, (answer, said.stdout, said.stderr)
    assert json.loads(answer)["name"] == "pump"
    tools.podman("stop", "--time", "20", "pump")
    assert tools.podman("inspect", "--format", "{{.State.ExitCode}}", "pump").stdout.strip() == "0"
