"""The real hub on PostgreSQL, as a person sets it up: a URL without a password, and a password file."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
import psycopg
import pytest
from onnx import TensorProto, helper

from cloud_hub.sdk import Hub
from simulators.demo.stage import Stage
from tests.e2e.conftest import command
from tests.postgres import Postgres, running_server, why_not

pytestmark = pytest.mark.system
PASSWORD = "s3cret-canary"


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of this test's own: it is stopped on the way."""
    if reason := why_not():
        pytest.skip(reason)
    with running_server() as server:
        yield server


@pytest.fixture
def stage(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A folder for a hub whose database is at ``url_of(server)``."""
    folder = Path(tempfile.mkdtemp(prefix="hl-e2e-"))
    server.create_role("headland", PASSWORD, server.create())
    passwords = folder / "pgpass"
    passwords.write_text(f"127.0.0.1:{server.port}:*:headland:{PASSWORD}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    monkeypatch.setenv("HEADLAND_CONTEXT", "set by the stage, restored after the test")
    stage = Stage(folder)
    yield stage
    stage.hub.stop()
    shutil.rmtree(folder)


def url_of(server: Postgres) -> str:
    return f"postgresql://headland@127.0.0.1:{server.port}/{server.newest}"


def a_model(path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_hub_works_on_postgresql_and_its_password_is_nowhere(
    stage: Stage, server: Postgres, tmp_path: Path
) -> None:
    stage.make_hub("--database", url_of(server))
    stage.headland("workspace", "create", "shop")
    model = a_model(tmp_path / "model.onnx")
    with Hub.connect() as hub:
        assert [hub.workspace().register_model("same", model).version for _ in range(2)] == [1, 2]
    assert not (stage.data_dir / "hub.db").exists()
    with psycopg.connect(
        f"host={server.folder} port={server.port} user=postgres dbname={server.newest}"
    ) as db:
        assert db.execute("SELECT count(*) FROM models").fetchone() == (2,)

    stage.hub.kill()
    stage.hub.start("hub ready")
    assert [model["version"] for model in stage.headland("model", "list")] == [1, 2]

    server.stop()
    done = command("headland", "model", "list", "--output", "json")
    assert done.returncode == 1
    assert "database-unavailable" in done.stderr
    server.start()
    assert [model["version"] for model in stage.headland("model", "list")] == [1, 2]

    stage.hub.stop()
    readable = [path for path in stage.folder.rglob("*") if path.is_file() and path.name != "pgpass"]
    assert any(path.name == "hub.toml" for path in readable)
    assert [path for path in readable if PASSWORD.encode() in path.read_bytes()] == []


def test_a_hub_whose_database_is_away_or_anothers_says_so_and_ends(
    stage: Stage, server: Postgres, tmp_path: Path
) -> None:
    stage.headland("hub", "init", "--data-dir", str(stage.data_dir), "--database", url_of(server))

    other = command(
        "headland", "hub", "init", "--data-dir", str(tmp_path / "other"), "--database", url_of(server)
    )
    assert (other.returncode, other.stdout) == (1, "")
    assert "[database-of-another-hub]" in other.stderr

    server.stop()
    done = command("headland", "hub", "up", "--data-dir", str(stage.data_dir))
    assert done.returncode == 1
    assert done.stderr.startswith("error: database: the database cannot be used: ")
    assert "Connection refused" in done.stderr
    assert "[database-unavailable]\n  Start it, or correct" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_in_the_url_is_refused(tmp_path: Path) -> None:
    url = f"postgresql://headland:{PASSWORD}@db.example.org/headland"
    done = command("headland", "hub", "init", "--data-dir", str(tmp_path / "hub"), "--database", url)
    assert done.returncode == 1
    assert "[hub-settings-invalid]" in done.stderr
    assert PASSWORD not in done.stderr + done.stdout
    assert not (tmp_path / "hub").exists()
