"""Telemetry queries: one SELECT over one's own streams, and nothing else."""

from pathlib import Path

import pytest

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.db.engine import Database
from cloud_hub.errors import QueryError
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.ingest import Arrived, Ingest
from cloud_hub.telemetry.query import Telemetry

BATCH = b'{"epoch":"e","after":0,"first":1,"sampled_at_us":[1,2],"bodies":[{"v":1},{"v":"secret"}]}'


@pytest.fixture
def telemetry(database: Database, tmp_path: Path) -> Telemetry:
    store = FolderStore(tmp_path / "objects")
    Ingest(database).store(
        [Arrived("hl.1.cam-1.telemetry.s", BATCH), Arrived("hl.1.mill-1.telemetry.lab_only", BATCH)]
    )
    return Telemetry(database, store, Files(database, store))


def test_a_select_sees_what_was_acknowledged(telemetry: Telemetry) -> None:
    result = telemetry.query("shop", "SELECT seq, body->>'v' AS v FROM s ORDER BY seq")
    assert (result.columns, result.rows) == (["seq", "v"], [(1, "1"), (2, "secret")])


def test_times_come_back_with_their_zone(telemetry: Telemetry) -> None:
    ((sampled_at, count),) = telemetry.query("shop", "SELECT min(sampled_at), count(*) FROM s").rows
    assert sampled_at.isoformat() == "1970-01-01T00:00:00.000001+00:00"
    assert count == 2


def test_a_limit_says_that_there_was_more(telemetry: Telemetry) -> None:
    result = telemetry.query("shop", "SELECT seq FROM s ORDER BY seq", 1)
    assert (result.rows, result.truncated) == ([(1,)], True)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM lab_only",
        "SELECT 1; SELECT 2",
        "",
        "DROP VIEW s",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO s VALUES (1)",
        "SET enable_external_access = true",
        "ATTACH '/tmp/x.db'",
        "COPY (SELECT 1) TO '/tmp/headland-query-test.csv'",
        "INSTALL httpfs",
        "PRAGMA database_list",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT getenv('HOME')",
        "SELEC",
        "SELECT * FROM nowhere",
    ],
)
def test_everything_else_is_refused_with_a_reason(telemetry: Telemetry, sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        telemetry.query("shop", sql)
    assert caught.value.what


def test_another_workspace_s_files_are_out_of_reach(telemetry: Telemetry, tmp_path: Path) -> None:
    telemetry.query("lab", "SELECT * FROM lab_only")
    (path,) = (tmp_path / "objects" / "telemetry" / "lab").rglob("*.parquet")
    assert telemetry.query("lab", f"SELECT count(*) FROM read_parquet('{path}')").rows == [(2,)]
    with pytest.raises(QueryError, match=r"[Pp]ermission"):
        telemetry.query("shop", f"SELECT * FROM read_parquet('{path}')")
