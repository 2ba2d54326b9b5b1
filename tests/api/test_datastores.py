"""Datastores over HTTPS: the workspace's own, a bucket, a folder; and what nobody may attach."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.sdk import HubRefusedError, Workspace
from cloud_hub.sdk.errors import SdkError
from cloud_hub.settings import Settings
from tests.api.conftest import World
from tests.conformance.fixtures import azure_service, gcs_service, s3_service, service
from tests.conformance.servers import Service

__all__ = ["azure_service", "gcs_service", "s3_service", "service"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "share").mkdir()
    return Settings(
        data_dir=tmp_path / "hub",
        datastore_folders=(str(tmp_path / "share"),),
        datastore_endpoints=("127.0.0.1",),
    )


@pytest.fixture
def shop(world: World) -> Iterator[Workspace]:
    with world.sdk() as hub:
        yield hub.workspace("shop")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.bin").write_bytes(os.urandom(3_000_000))
    (folder / "deep" / "b c.txt").write_text("two words")
    (folder / "empty").write_bytes(b"")
    return folder


def test_a_new_workspace_has_a_datastore_of_its_own(world: World, shop: Workspace) -> None:
    assert [(d.name, d.url, d.is_default) for d in shop.datastores.all()] == [("default", "hub:", True)]
    file = world.services.settings.data_dir / "x"
    file.write_text("x")
    shop.datastores.open().upload(file)
    with world.sdk() as hub:
        assert list(hub.workspace("lab").datastores.open().files()) == []


def test_files_go_up_and_come_back(shop: Workspace, photos: Path, tmp_path: Path) -> None:
    store = shop.datastores.open()
    stored = store.upload(photos, "raw")
    assert {file.key for file in stored} == {"raw/a.bin", "raw/deep/b c.txt", "raw/empty"}
    assert {f.key: f.size_bytes for f in store.files()} == {
        f"raw/{name}": len(data) for name, data in tree(photos).items()
    }
    assert [f.key for f in store.files("raw/deep")] == ["raw/deep/b c.txt"]
    back = tmp_path / "back"
    back.mkdir()
    for file in store.files():
        store.download(file.key, back)
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {
        Path(name).name: data for name, data in tree(photos).items()
    }
    store.delete("raw/empty")
    assert [f.key for f in store.files()] == ["raw/a.bin", "raw/deep/b c.txt"]


def test_a_bucket_is_attached_with_credentials_from_the_secrets(
    shop: Workspace, service: Service, photos: Path, tmp_path: Path
) -> None:
    shop.set_secret("bucket-key", json.dumps(service.credentials))
    shop.datastores.attach("photos", service.url(), secret="bucket-key", default=True)
    assert shop.datastores.open().info.name == "photos"
    store = shop.datastores.open()
    store.upload(photos, "raw")
    assert sorted(f.key for f in store.files()) == ["raw/a.bin", "raw/deep/b c.txt", "raw/empty"]
    assert store.download("raw/a.bin", tmp_path / "a").read_bytes() == (photos / "a.bin").read_bytes()
    shown = json.dumps([str(d) for d in shop.datastores.all()])
    assert not any(value in shown for value in service.credentials.values())


def test_wrong_credentials_are_said_when_it_is_attached(shop: Workspace, azure_service: Service) -> None:
    wrong = {"AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmcga2V5IHdyb25nIGtleQ=="}
    shop.set_secret("bucket-key", json.dumps(wrong))
    with pytest.raises(HubRefusedError, match="refused our credentials") as caught:
        shop.datastores.attach("photos", azure_service.url(), secret="bucket-key")
    assert wrong["AZURE_STORAGE_ACCOUNT_KEY"] not in str(caught.value)
    assert [d.name for d in shop.datastores.all()] == ["default"]


def test_a_secret_that_holds_no_credentials_is_not_shown(shop: Workspace, s3_service: Service) -> None:
    shop.set_secret("bucket-key", "top-secret, and no JSON")
    with pytest.raises(HubRefusedError, match="no credentials") as caught:
        shop.datastores.attach("photos", s3_service.url(), secret="bucket-key")
    assert "top-secret" not in str(caught.value)


def test_a_folder_that_the_owner_allows_is_attached(shop: Workspace, tmp_path: Path) -> None:
    (tmp_path / "share" / "cam").mkdir()
    (tmp_path / "share" / "cam" / "x.txt").write_text("there before")
    shop.datastores.attach("share", str(tmp_path / "share" / "cam"))
    store = shop.datastores.open("share")
    assert [f.key for f in store.files()] == ["x.txt"]
    shop.datastores.detach("share")
    assert (tmp_path / "share" / "cam" / "x.txt").read_text() == "there before"


def test_a_link_in_a_shared_folder_leads_nowhere(shop: Workspace, tmp_path: Path) -> None:
    (tmp_path / "canary").write_text("secret of the machine")
    (tmp_path / "share" / "file").symlink_to(tmp_path / "canary")
    (tmp_path / "share" / "folder").symlink_to(tmp_path)
    shop.datastores.attach("share", str(tmp_path / "share"))
    store = shop.datastores.open("share")
    assert (tmp_path / "share" / "folder" / "canary").exists()  # the machine itself does follow them
    assert list(store.files()) == []
    for key in ("file", "folder/canary"):
        with pytest.raises(HubRefusedError) as caught:
            store.download(key, tmp_path / "out")
        assert caught.value.code == "not-found"
    (tmp_path / "new").write_text("x")
    with pytest.raises(HubRefusedError):
        store.upload(tmp_path / "new", "folder/new-file")
    assert not (tmp_path / "new-file").exists()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("/etc", "forbidden"),
        ("file:///etc", "forbidden"),
        ("{share}/../hub", "forbidden"),
        ("{share}-beside", "forbidden"),
        ("s3://box?endpoint=https://169.254.169.254", "forbidden"),
        ("s3://box?endpoint=https://localhost:9000", "forbidden"),
        ("s3://box?ca_file=/etc/shadow", "invalid-input"),
        ("s3://key:secret@box", "store-config-invalid"),
        ("ftp://box", "store-config-invalid"),
    ],
)
def test_what_the_owner_does_not_allow_is_refused(
    shop: Workspace, tmp_path: Path, url: str, code: str
) -> None:
    with pytest.raises(HubRefusedError) as caught:
        shop.datastores.attach("bad", url.format(share=tmp_path / "share"))
    assert caught.value.code == code


@pytest.mark.parametrize("key", ["../x", "a/../../x", ".hidden", "a//b", "a/.incoming/x", "%2e%2e/x"])
def test_a_path_that_leads_outside_is_refused(world: World, key: str) -> None:
    path = f"/api/v1/workspaces/shop/datastores/default/files/{key}"
    headers = {"Authorization": f"Bearer {world.admin_token}"}
    before = tree(world.services.settings.data_dir / "objects")
    assert world.client.put(path, content=b"x", headers=headers).status_code in {404, 422}
    assert tree(world.services.settings.data_dir / "objects") == before


def test_the_default_and_one_with_files_stay(shop: Workspace, photos: Path) -> None:
    with pytest.raises(HubRefusedError, match="default"):
        shop.datastores.detach("default")
    shop.datastores.attach("second")
    shop.datastores.open("second").upload(photos / "empty")
    with pytest.raises(HubRefusedError, match="files in it"):
        shop.datastores.detach("second")
    shop.datastores.open("second").delete("empty")
    shop.datastores.detach("second")
    with pytest.raises(SdkError, match="no such datastore"):
        shop.datastores.open("second")


def test_parts_of_a_file_are_answered(world: World, shop: Workspace, photos: Path) -> None:
    shop.datastores.open().upload(photos / "deep" / "b c.txt", "t")
    headers = {"Authorization": f"Bearer {world.admin_token}", "Range": "bytes=4-"}
    path = "/api/v1/workspaces/shop/datastores/default/files/t"
    answer = world.client.get(path, headers=headers)
    assert (answer.status_code, answer.text, answer.headers["Content-Range"]) == (206, "words", "bytes 4-8/9")
    assert world.client.get(path, headers=headers | {"Range": "bytes=9-"}).status_code == 416
