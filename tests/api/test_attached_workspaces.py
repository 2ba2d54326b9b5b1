"""A workspace that begins with an existing place: all or nothing, and no credential but in the vault."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cloud_hub.audit.service import Filters
from cloud_hub.db.schema import METADATA
from cloud_hub.sdk import HubRefusedError, Workspace
from cloud_hub.sdk.hub import Hub
from cloud_hub.settings import Settings
from cloud_hub.telemetry.ingest import Arrived, Ingest
from tests.api.conftest import World, bearer
from tests.conformance.fixtures import azure_service, gcs_service, s3_service, service
from tests.conformance.servers import Service
from tests.hub.conftest import add_device
from tests.hub.test_exactly_once import batch

__all__ = ["azure_service", "gcs_service", "s3_service", "service"]

CANARY = "canary-credential-5b1f"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "share").mkdir()
    return Settings(
        data_dir=tmp_path / "hub",
        datastore_folders=(str(tmp_path / "share"),),
        datastore_endpoints=("127.0.0.1",),
    )


@pytest.fixture
def hub(world: World) -> Iterator[Hub]:
    with world.sdk() as hub:
        yield hub


@pytest.fixture
def shop(hub: Hub) -> Workspace:
    return hub.workspace("shop")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged by anybody, at every level."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


def rows(world: World) -> dict[str, list[Any]]:
    with world.core.database.reading() as session:
        return {
            table.name: list(session.execute(select(table)).all())
            for table in METADATA.sorted_tables
            if table.name not in {"attempts", "tokens"}
        }


def actions(world: World, workspace: str) -> list[str]:
    page = world.services.audit.page(workspace, Filters(), 100)
    return [f"{row.action} {row.target}" for row in reversed(page)]


def ingest(world: World, workspace: str, device: str, last: int) -> None:
    add_device(world.core.database, workspace, device)
    message = batch(1, last)
    Ingest(world.core.database).store([Arrived(message.subject.replace("cam-1", device), message.payload)])


def test_a_workspace_begins_with_a_bucket_for_files_and_telemetry(
    world: World, hub: Hub, service: Service, tmp_path: Path
) -> None:
    url = service.url(prefix=f"begin/{tmp_path.name}")
    hub.create_workspace(
        "third", datastore=url, credentials=json.dumps(service.credentials), telemetry_datastore="default"
    )
    third = hub.workspace("third")
    (info,) = third.datastores.all()
    assert (info.name, info.url, info.secret) == ("default", url, "datastore-key")
    assert (info.is_default, info.is_telemetry) == (True, True)
    assert json.loads(third.get_secret("datastore-key")) == service.credentials
    ingest(world, "third", "pump-1", 5)
    assert third.query("SELECT count(*) FROM s").rows == [[5]]
    overview = third.overview()
    assert [(h.datastore, h.rows) for h in overview.telemetry.held] == [("default", 5)]
    assert (overview.counts["devices"], overview.counts["secrets"], overview.counts["members"]) == (1, 1, 1)
    assert overview.default_datastore == info
    assert overview.images.endswith("/third")
    keys = list(service.open(url).keys("headland/telemetry"))
    assert len(keys) == 2, "the mark and one file"
    assert actions(world, "third")[:4] == [
        "workspace.create third",
        "secret.set datastore-key:1",
        "datastore.attach default",
        "telemetry.set-store default",
    ]


def test_without_more_all_is_in_the_hub_as_before(hub: Hub) -> None:
    hub.create_workspace("third")
    overview = hub.workspace("third").overview()
    assert (overview.default_datastore.url, overview.telemetry.datastore) == ("hub:", None)
    assert overview.telemetry.held == []
    assert overview.secrets == "hub:"


def test_a_folder_can_be_the_first_datastore_and_telemetry_stay_in_the_hub(
    world: World, hub: Hub, tmp_path: Path
) -> None:
    hub.create_workspace("third", datastore=str(tmp_path / "share"), datastore_name="share")
    third = hub.workspace("third")
    assert [(d.name, d.is_default, d.is_telemetry) for d in third.datastores.all()] == [
        ("share", True, False)
    ]
    ingest(world, "third", "pump-1", 5)
    assert third.query("SELECT count(*) FROM s").rows == [[5]]
    assert not (tmp_path / "share" / "headland").exists()


SECRET = {"value": json.dumps({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": CANARY})}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no JSON": ({"datastore": {"url": "{s3}", "secret": {"value": CANARY}}}, "invalid-input"),
    "no credentials": ({"datastore": {"url": "{s3}", "secret": {"value": f'["{CANARY}"]'}}}, "invalid-input"),
    "of another cloud": (
        {"datastore": {"url": "{s3}", "secret": {"value": f'{{"AZURE_STORAGE_ACCOUNT_KEY": "{CANARY}"}}'}}},
        "store-config-invalid",
    ),
    "empty": ({"datastore": {"url": "{s3}", "secret": {"value": ""}}}, "invalid-input"),
    "no text": ({"datastore": {"url": "{s3}", "secret": {"value": [CANARY]}}}, "invalid-request"),
    "a field too many": (
        {"datastore": {"url": "{s3}", "secret": SECRET | {"valeu": CANARY}}},
        "invalid-request",
    ),
    "a bad name of a secret": (
        {"datastore": {"url": "{s3}", "secret": SECRET | {"name": "Not A Name"}}},
        "invalid-name",
    ),
    "a bad name": ({"datastore": {"url": "{s3}", "name": "A B", "secret": SECRET}}, "invalid-name"),
    "credentials for the hub itself": (
        {"datastore": {"url": "hub:", "secret": SECRET}},
        "store-config-invalid",
    ),
    "in the address": ({"datastore": {"url": f"s3://key:{CANARY}@box"}}, "store-config-invalid"),
    "in an unknown option": (
        {"datastore": {"url": f"s3://box?sig={CANARY}", "secret": SECRET}},
        "store-config-invalid",
    ),
    "a bucket that is not there": (
        {"datastore": {"url": "{nowhere}", "secret": SECRET}, "telemetry_datastore": "default"},
        "store-failed",
    ),
    "a foreign endpoint": (
        {"datastore": {"url": "s3://box?endpoint=https://169.254.169.254", "secret": SECRET}},
        "forbidden",
    ),
    "a folder of the machine": ({"datastore": {"url": "/etc"}}, "forbidden"),
    "telemetry elsewhere": (
        {"datastore": {"url": "{s3}", "secret": SECRET}, "telemetry_datastore": "lake"},
        "invalid-input",
    ),
    "telemetry nowhere": ({"telemetry_datastore": "default"}, "invalid-input"),
    "a name that is taken": ({"name": "shop", "datastore": {"url": "{s3}", "secret": SECRET}}, "conflict"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_makes_nothing_and_tells_no_credential(
    world: World, s3_service: Service, log: io.StringIO, what: str
) -> None:
    body, code = WRONG[what]
    body = {"name": "third"} | body
    if "datastore" in body:
        url = body["datastore"]["url"]
        nowhere = f"s3://no-such-bucket?endpoint=http://127.0.0.1:{s3_service.port}"
        url = url.replace("{s3}", s3_service.url()).replace("{nowhere}", nowhere)
        body["datastore"] = body["datastore"] | {"url": url}
    before = rows(world)
    answer = world.client.post("/api/v1/workspaces", json=body, headers=bearer(world.admin_token))
    assert answer.json()["code"] == code, answer.text
    assert CANARY not in answer.text
    assert CANARY not in log.getvalue()
    assert rows(world) == before


def test_what_is_right_tells_no_credential_either(
    world: World, s3_service: Service, log: io.StringIO
) -> None:
    body = {"name": "third", "datastore": {"url": s3_service.url(), "secret": SECRET}}
    answer = world.client.post("/api/v1/workspaces", json=body, headers=bearer(world.admin_token))
    assert answer.status_code == 201
    shown = [answer.text, log.getvalue(), str(rows(world))]
    for path in ("", "/datastores", "/secrets", "/audit"):
        told = world.client.get(f"/api/v1/workspaces/third{path}", headers=bearer(world.admin_token))
        assert told.status_code == 200
        shown.append(told.text)
    assert log.getvalue(), "the judge hears nothing"
    assert not any(CANARY in text for text in shown)
    value = world.client.get(
        "/api/v1/workspaces/third/secrets/datastore-key/value", headers=bearer(world.admin_token)
    )
    assert CANARY in value.text


def test_a_failure_in_the_last_step_takes_all_of_it_back(
    world: World, hub: Hub, s3_service: Service, tmp_path: Path
) -> None:
    """The audit log of the new workspace cannot be written: its chain has an end already that is no end."""
    with world.core.database.transaction() as session:
        session.execute(
            METADATA.tables["audit_heads"]
            .insert()
            .values(workspace="third", count=7, last="planted", mac="planted")
        )
    before = rows(world)
    with pytest.raises(HubRefusedError) as caught:
        hub.create_workspace(
            "third", datastore=s3_service.url(), credentials=json.dumps(s3_service.credentials)
        )
    assert caught.value.code == "audit-broken"
    assert rows(world) == before


def test_telemetry_is_switched_and_the_state_is_shown(world: World, shop: Workspace, tmp_path: Path) -> None:
    ingest(world, "shop", "pump-1", 3)
    shop.query("SELECT 1")
    shop.datastores.attach("lake", str(tmp_path / "share"))
    assert shop.set_telemetry_store("lake").datastore == "lake"
    ingest(world, "shop", "pump-2", 4)
    assert shop.query("SELECT count(*) FROM s").rows == [[7]]
    with pytest.raises(HubRefusedError) as caught:
        shop.datastores.detach("lake")
    assert caught.value.code == "datastore-in-use"
    store = shop.set_telemetry_store(None)
    assert [(h.datastore, h.files, h.rows) for h in store.held] == [(None, 1, 3), ("lake", 1, 4)]
    with pytest.raises(HubRefusedError, match="telemetry files that count"):
        shop.datastores.detach("lake")
    with pytest.raises(HubRefusedError) as caught:
        shop.set_telemetry_store("nowhere")
    assert caught.value.code == "not-found"


def test_people_read_the_hubs_files_in_a_datastore_and_do_not_change_them(
    world: World, shop: Workspace, tmp_path: Path
) -> None:
    shop.datastores.attach("lake", str(tmp_path / "share"))
    shop.set_telemetry_store("lake")
    ingest(world, "shop", "pump-1", 3)
    shop.query("SELECT count(*) FROM s")
    lake = shop.datastores.open("lake")
    (key,) = (file.key for file in lake.files("headland") if file.key.endswith(".parquet"))
    assert lake.download(key, tmp_path / "copy").read_bytes().startswith(b"PAR1")
    (tmp_path / "new").write_text("x")
    for path in (key, "headland/telemetry/README.txt", "headland/telemetry/mine", "headland/telemetry"):
        with pytest.raises(HubRefusedError, match="keeps telemetry there"):
            lake.upload(tmp_path / "new", path)
        with pytest.raises(HubRefusedError, match="keeps telemetry there"):
            lake.delete(path)
    lake.upload(tmp_path / "new", "headland/mine")
    assert shop.query("SELECT count(*) FROM s").rows == [[3]]


def test_a_place_that_is_away_is_shown_and_ends(world: World, shop: Workspace, tmp_path: Path) -> None:
    shop.datastores.attach("lake", str(tmp_path / "share"))
    shop.set_telemetry_store("lake")
    ingest(world, "shop", "pump-1", 3)
    (tmp_path / "share").rename(tmp_path / "unmounted")
    with pytest.raises(HubRefusedError) as caught:
        shop.query("SELECT count(*) FROM s")
    assert caught.value.code == "store-failed"
    store = shop.overview().telemetry
    assert (store.datastore, store.pending_batches) == ("lake", 1)
    assert store.problem is not None
    assert store.problem.code == "store-failed"
    (tmp_path / "unmounted").rename(tmp_path / "share")
    assert shop.set_telemetry_store("lake").problem is None
    assert shop.query("SELECT count(*) FROM s").rows == [[3]]
    assert shop.telemetry_store().pending_batches == 0
