"""Addresses and credentials of object stores: what is taken and what is refused, repeating nothing."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cloud_hub.blobs.credentials import load_credentials
from cloud_hub.blobs.errors import StoreConfigError, StoreError
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.location import Location, read_location
from cloud_hub.blobs.opening import open_store
from tests.conformance.servers import SHORT
from tests.conformance.test_store_faults import refusing

S3_KEYS = {"AWS_ACCESS_KEY_ID": "hush-id", "AWS_SECRET_ACCESS_KEY": "hush-key"}


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/srv/objects", Location("file", "/srv/objects")),
        ("file:///srv/a%20b/", Location("file", "/srv/a b")),
        ("s3://box", Location("s3", "box")),
        ("s3://box/", Location("s3", "box")),
        ("s3://box/a/b/?region=eu-west-1", Location("s3", "box", "a/b", {"region": "eu-west-1"})),
        ("gs://my.box_1/x", Location("gs", "my.box_1", "x")),
        ("az://box/p?account=acc", Location("az", "box", "p", {"account": "acc"})),
        (
            "s3://box?endpoint=http://127.0.0.1:9",
            Location("s3", "box", "", {"endpoint": "http://127.0.0.1:9"}),
        ),
        ("s3://box?endpoint=http://[::1]:9", Location("s3", "box", "", {"endpoint": "http://[::1]:9"})),
        ("s3://box?endpoint=https://m:9/x", Location("s3", "box", "", {"endpoint": "https://m:9/x"})),
    ],
)
def test_addresses_that_are_taken(url: str, location: Location) -> None:
    found = read_location(url)
    assert (found.scheme, found.bucket, found.prefix) == (location.scheme, location.bucket, location.prefix)
    assert dict(found.options) == dict(location.options)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "objects",
        "file://host/x",
        "file:x",
        "file:///x?y=1",
        "s3://",
        "s3:///x",
        "ftp://box/x",
        "https://box.s3.amazonaws.com/hush",
        "s3://hush:hush@box/p",
        "s3://hush@box/p",
        "s3://box:99/p",
        "s3://box:hush/p",
        "s3://box/p#hush",
        "s3://box/../hush",
        "s3://box/a//b",
        "s3://box/.hush",
        "s3://box?secret=hush",
        "s3://box?region=a&region=b",
        "s3://box?region=",
        "s3://box?account=acc",
        "s3://box?endpoint=https://hush:hush@m",
        "s3://box?endpoint=http://m.example.org",
        "s3://box?endpoint=ftp://m",
        "s3://box?endpoint=https://m?x=hush",
        "s3://[box",
    ],
)
def test_addresses_that_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(StoreConfigError) as caught:
        read_location(url)
    assert caught.value.fix
    assert "hush" not in str(caught.value)


def test_an_address_with_a_user_says_where_credentials_belong() -> None:
    with pytest.raises(StoreConfigError, match="user name or password"):
        open_store("s3://AKID:key@box", S3_KEYS)


def test_a_path_is_a_folder(tmp_path: Path) -> None:
    for url in (str(tmp_path / "a"), f"file://{tmp_path}/a"):
        store = open_store(url, {})
        assert isinstance(store, FolderStore)
        store.put_bytes("x/y", b"1")
    assert (tmp_path / "a" / "x" / "y").exists()


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("s3://box", {}),
        ("s3://box", {"AWS_ACCESS_KEY_ID": "hush"}),
        ("s3://box", {**S3_KEYS, "AWS_SECRET_ACCESS_KEY": ""}),
        ("s3://box", {**S3_KEYS, "AWS_HUSH": "x"}),
        ("az://box?account=acc", {}),
        ("az://box?account=acc", {"AZURE_STORAGE_ACCOUNT_KEY": "hush", "AZURE_STORAGE_SAS_TOKEN": "hush"}),
        ("az://box", {"AZURE_STORAGE_ACCOUNT_KEY": "aHVzaA=="}),
        ("gs://box", {}),
        ("gs://box", {"GOOGLE_SERVICE_ACCOUNT_KEY": '{"private_key": "hush"}'}),
        ("gs://box", {"GOOGLE_SERVICE_ACCOUNT_KEY": "hush"}),
        ("/srv/x", {"AWS_ACCESS_KEY_ID": "hush"}),
        ("s3://box?ca_file=/nowhere.pem", S3_KEYS),
    ],
)
def test_a_store_is_never_opened_as_somebody_else(url: str, credentials: dict[str, str]) -> None:
    """Without whole credentials the library would look for the machine's own identity."""
    with pytest.raises(StoreConfigError) as caught:
        open_store(url, credentials)
    assert "hush" not in str(caught.value)


def test_a_service_account_signs_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN", raising=False)
    with refusing(403) as (endpoint, seen):
        account = {
            "type": "service_account",
            "client_email": "hub@example.org",
            "private_key_id": "1",
            "private_key": key.decode(),
            "token_uri": endpoint,
        }
        credentials = {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account)}
        store = open_store(f"gs://box?endpoint={endpoint}", credentials, SHORT)
        with pytest.raises(StoreError, match="refused"):
            store.size("f")
        assert "Bearer ey" in seen[-1][1]
        # The library would take this token in place of the account.
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "another")
        with pytest.raises(StoreConfigError, match="in place of"):
            open_store(f"gs://box?endpoint={endpoint}", credentials, SHORT)


def test_credentials_come_from_the_environment_or_from_the_file_not_from_both(tmp_path: Path) -> None:
    environment = {**S3_KEYS, "AWS_SESSION_TOKEN": "hush", "PATH": "/bin", "AZURE_STORAGE_SAS_TOKEN": "x"}
    assert load_credentials("s3", "", environment) == {**S3_KEYS, "AWS_SESSION_TOKEN": "hush"}
    file = tmp_path / "c.toml"
    file.touch(mode=0o600)
    file.write_text('AWS_ACCESS_KEY_ID = "other"\n')
    assert load_credentials("s3", str(file), environment) == {"AWS_ACCESS_KEY_ID": "other"}
    assert load_credentials("file", "", environment) == {}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "c.toml"
    file.write_text('AWS_ACCESS_KEY_ID = "hush"\n')
    file.chmod(mode)
    with pytest.raises(StoreConfigError, match="others"):
        load_credentials("s3", str(file), {})


@pytest.mark.parametrize("text", ["hush", "hush = hush", "A = 1", "\x00", '[A]\nhush = "x"'])
def test_a_file_that_is_no_list_of_texts_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.toml"
    file.touch(mode=0o600)
    file.write_text(text)
    with pytest.raises(StoreConfigError) as caught:
        load_credentials("s3", str(file), {})
    assert "hush" not in str(caught.value)
    with pytest.raises(StoreConfigError, match="cannot be read"):
        load_credentials("s3", str(tmp_path / "none"), {})
