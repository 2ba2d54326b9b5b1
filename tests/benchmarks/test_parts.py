"""The benchmarks can be loaded, and their peers stay outside of the project."""

import importlib
import json
import tomllib
from pathlib import Path

import httpx
import pytest

from benchmarks import hub
from benchmarks.bare_app import ANSWERS, bare_app

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
OF_THE_PEERS = {"mlflow_moves", "updates_training"}  # run by their Python
PARTS = sorted({path.stem for path in FOLDER.glob("*.py")} - {"__init__"} - OF_THE_PEERS)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_can_be_imported(name: str) -> None:
    assert importlib.import_module(f"benchmarks.{name}").__doc__


def test_every_table_has_its_place_in_the_page() -> None:
    page = hub.PAGE.read_text()
    for name in hub.PARTS:
        assert name in PARTS
        again = hub.refreshed(page, name, "| new |\n")
        assert "| new |" in again
        assert hub.refreshed(again, name, "| newer |") == hub.refreshed(page, name, "| newer |")
    with pytest.raises(ValueError, match="no marks <!-- other -->"):
        hub.refreshed(page, "other", "| new |")


def test_the_peers_are_pinned_and_no_dependency() -> None:
    pinned = [line for line in (FOLDER / "peers.txt").read_text().splitlines() if not line.startswith(" ")]
    assert any(line.startswith("mlflow==") for line in pinned)
    assert all("==" in line for line in pinned)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "mlflow" not in json.dumps([project["dependencies"], project["optional-dependencies"]])


async def test_the_bare_app_answers_what_the_hub_answered(tmp_path: Path) -> None:
    model = {
        "name": "digits", "version": 2, "description": "", "folder": False, "digest": "sha256:0",
        "size_bytes": 1, "framework": "custom", "signature": {}, "pickled": False, "tags": {"a": "b"},
        "properties": {}, "files": [], "run": None, "created_by": "ada", "created_at": "2025-01-01T00:00:00Z",
    }  # fmt: skip
    answers = {"workspaces": [{"name": "shop", "created_at": "2025-01-01T00:00:00Z"}], "models": [model]}
    (tmp_path / ANSWERS).write_text(json.dumps(answers))
    shop, metrics = "/api/v1/workspaces/shop", "/api/v1/workspaces/shop/runs/r/metrics"
    transport = httpx.ASGITransport(bare_app(tmp_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://bare") as client:
        assert (await client.get("/api/v1/workspaces")).json() == answers["workspaces"]
        assert (await client.get(f"{shop}/models")).json() == {"items": [model], "next": None}
        assert (await client.get(f"{shop}/models/digits:2")).json() == model
        assert (await client.post(metrics, json={"name": "loss", "value": 1.0})).status_code == 204
        assert (await client.post(metrics, json={"name": "loss", "value": "x"})).status_code == 422
