"""Another hub process: what it is made of, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from cloud_hub.backup.errors import BackupError, RestoreError
from cloud_hub.blobs.claim import STORE_ID
from cloud_hub.cluster.joining import OWN_FILES, export_keys, join
from cloud_hub.core import open_bytes
from cloud_hub.db.rows import HubRow
from cloud_hub.errors import AlreadyInitialisedError, ForeignDatabaseError, HubSettingsError
from cloud_hub.init import SETTINGS_FILE, database_of, initialise
from cloud_hub.settings import Settings, load
from tests.hub.databases import Servers

PASSPHRASE = "correct horse battery"
MEMBERS = ("127.0.0.1:6222", "127.0.0.2:6222", "127.0.0.3:6222")


def clustered(folder: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "data_dir": folder / "one",
        "database": "postgresql://db.example.org/headland",
        "object_store": str(folder / "objects"),
        "https_port": 9443,
        "cluster_address": MEMBERS[0],
        "cluster_members": MEMBERS,
    }
    return Settings(**(values | changes))


@pytest.fixture
def first(servers: Servers, tmp_path: Path) -> Settings:
    """A hub of a cluster, on a new database of a real server."""
    settings = clustered(tmp_path, database=servers.server.url(servers.empty()), keep_uploads_s=4_000)
    initialise(settings)
    open_bytes(settings)
    return settings


@pytest.mark.system
def test_a_second_process_has_the_same_keys_and_settings(first: Settings, tmp_path: Path) -> None:
    sealed = export_keys(first, PASSPHRASE)
    own = {"cluster_address": MEMBERS[1], "https_port": 9444, "listen": None}
    second = join(sealed, PASSPHRASE, tmp_path / "two", own)
    assert load(second.data_dir / SETTINGS_FILE) == second
    assert (second.https_port, second.url) == (9444, first.url)
    assert (second.keep_uploads_s, second.cluster_members) == (4_000, MEMBERS)
    here, there = first.data_dir / "pki", second.data_dir / "pki"
    assert len(list(there.glob("broker-*.nk"))) == 4, "though the first one has never run"
    for path in here.iterdir():
        assert path.name in OWN_FILES or (there / path.name).read_bytes() == path.read_bytes()
    assert {path.stat().st_mode & 0o777 for path in there.iterdir()} == {0o600}
    assert (second.data_dir / STORE_ID).read_bytes() == (first.data_dir / STORE_ID).read_bytes()
    with pytest.raises(AlreadyInitialisedError):
        join(sealed, PASSPHRASE, tmp_path / "two", own)


@pytest.mark.system
def test_what_is_no_place_in_the_cluster_or_the_wrong_passphrase_makes_no_hub(
    first: Settings, tmp_path: Path
) -> None:
    sealed = export_keys(first, PASSPHRASE)
    with pytest.raises(RestoreError, match="passphrase"):
        join(sealed, "another passphrase", tmp_path / "two", {"cluster_address": MEMBERS[1]})
    with pytest.raises(RestoreError, match="passphrase"):
        join(b"something else", PASSPHRASE, tmp_path / "two", {"cluster_address": MEMBERS[1]})
    with pytest.raises(HubSettingsError, match="not among them"):
        join(sealed, PASSPHRASE, tmp_path / "two", {"cluster_address": "10.9.9.9:6222"})
    assert not (tmp_path / "two").exists()


def owned_by(settings: Settings, ca_sha256: str) -> str:
    """Let the database be another hub's; return whose it was."""
    database = database_of(settings)
    with database.transaction() as session:
        row = session.scalars(select(HubRow)).one()
        before = row.ca_sha256
        session.execute(update(HubRow).values(ca_sha256=ca_sha256))
    database.close()
    return before


@pytest.mark.system
def test_what_the_database_refuses_leaves_nothing_and_can_be_done_again(
    first: Settings, tmp_path: Path
) -> None:
    sealed, own = export_keys(first, PASSPHRASE), {"cluster_address": MEMBERS[1]}
    ours = owned_by(first, "0" * 64)
    with pytest.raises(ForeignDatabaseError):
        join(sealed, PASSPHRASE, tmp_path / "two", own)
    owned_by(first, ours)
    assert not (tmp_path / "two").exists()
    (tmp_path / "two" / "pki").mkdir(parents=True)
    (tmp_path / "two" / "pki" / "ca.pem").write_bytes(b"of a join that was killed")
    assert join(sealed, PASSPHRASE, tmp_path / "two", own).clustered


def test_a_hub_that_is_alone_gives_no_keys_away(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="alone"):
        export_keys(Settings(data_dir=tmp_path), PASSPHRASE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster_members": MEMBERS[:2]}, "three or five"),
        ({"cluster_members": (*MEMBERS[:2], MEMBERS[0])}, "three or five"),
        ({"cluster_members": (*MEMBERS[:2], "host")}, "host:port"),
        ({"cluster_address": "127.0.0.4:6222"}, "not among them"),
        ({"cluster_address": ""}, "not among them"),
        ({"cluster_members": ()}, "three or five"),
        ({"database": ""}, "rows and bytes"),
        ({"object_store": ""}, "rows and bytes"),
    ],
)
def test_half_a_cluster_is_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(HubSettingsError, match=words) as caught:
        clustered(tmp_path, **changes)
    assert caught.value.fix
