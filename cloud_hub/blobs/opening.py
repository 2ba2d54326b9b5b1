"""From a URL and credentials to a store. Nothing else is asked: no environment, no machine's identity.

obstore fills what it is not told from environment variables, and then from the cloud's address for
machine identities. So all that decides where and as whom it goes is said here, always.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store
from obstore.store import ObjectStore as Native

from cloud_hub.blobs.credentials import check_credentials
from cloud_hub.blobs.errors import StoreConfigError
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.location import Location, read_location
from cloud_hub.blobs.port import LocalFiles, ObjectStore
from cloud_hub.blobs.read_cache import ReadCache
from cloud_hub.blobs.remote import RemoteStore

if TYPE_CHECKING:  # obstore has these for type checkers alone
    from obstore.store import (
        AzureCredential,
        ClientConfig,
        GCSConfig,
        GCSCredential,
        RetryConfig,
        S3Credential,
    )

GCS_ENDPOINT = "https://storage.googleapis.com"
STATIC_TOKEN = "GOOGLE_BEARER_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class Patience:
    """How long a call may take: one request (a part has 8 MiB), and all its tries together."""

    connect_s: float = 5.0
    request_s: float = 60.0
    tries: int = 4
    all_tries_s: float = 90.0
    longest_pause_s: float = 5.0


def open_store(url: str, credentials: Mapping[str, str], patience: Patience | None = None) -> ObjectStore:
    """Return the store at ``url``, used as whom ``credentials`` say; nothing is sent yet.

    Whoever passes on an address that a person may choose must look at `read_location` first:
    ``file`` is this machine's disk, and an endpoint may be any host. Raises `StoreConfigError`.
    """
    location = read_location(url)
    check_credentials(location.scheme, credentials)
    if location.scheme == "file":
        return FolderStore(Path(location.bucket))
    return _remote(location, credentials, patience or Patience())


def open_with_files(
    url: str, credentials: Mapping[str, str], cache_dir: Path, cache_bytes: int
) -> tuple[ObjectStore, LocalFiles]:
    """Return the store, and its objects as local files: in place, or through a read cache."""
    location = read_location(url)
    check_credentials(location.scheme, credentials)
    if location.scheme == "file":
        folder = FolderStore(Path(location.bucket))
        return folder, folder
    store = _remote(location, credentials, Patience())
    return store, ReadCache(store, cache_dir, cache_bytes)


def _remote(location: Location, credentials: Mapping[str, str], patience: Patience) -> RemoteStore:
    client, retry = _client(location, patience), _retry(patience)
    try:
        match location.scheme:
            case "s3":
                native: Native = _s3(location, credentials, client, retry)
            case "az":
                native = _azure(location, credentials, client, retry)
            case _:
                native = _gcs(location, credentials, client, retry)
    except (BaseError, ValueError):
        # Its words may repeat a credential.
        raise StoreConfigError(
            "the object store cannot be used with these settings",
            where=location.where,
            fix="Check the address and the form of the credentials.",
        ) from None
    return RemoteStore(native, location.where)


def _client(location: Location, patience: Patience) -> "ClientConfig":
    client: ClientConfig = {
        "allow_http": location.options.get("endpoint", "").startswith("http://"),
        "connect_timeout": timedelta(seconds=patience.connect_s),
        "timeout": timedelta(seconds=patience.request_s),
    }
    if ca_file := location.options.get("ca_file"):
        try:
            client["root_certificate"] = Path(ca_file).read_bytes()
        except OSError as error:
            raise StoreConfigError(
                f"ca_file cannot be read ({error.strerror})", where=ca_file, fix="Correct object_store."
            ) from error
    return client


def _retry(patience: Patience) -> "RetryConfig":
    return {
        "max_retries": patience.tries - 1,
        "retry_timeout": timedelta(seconds=patience.all_tries_s),
        "backoff": {
            "init_backoff": timedelta(seconds=0.2),
            "max_backoff": timedelta(seconds=patience.longest_pause_s),
            "base": 2,
        },
    }


def _s3(
    location: Location, credentials: Mapping[str, str], client: "ClientConfig", retry: "RetryConfig"
) -> S3Store:
    region = location.options.get("region", "us-east-1")
    endpoint = location.options.get("endpoint", f"https://s3.{region}.amazonaws.com")
    shown: S3Credential = {
        "access_key_id": credentials["AWS_ACCESS_KEY_ID"],
        "secret_access_key": credentials["AWS_SECRET_ACCESS_KEY"],
        "token": credentials.get("AWS_SESSION_TOKEN"),
        "expires_at": None,
    }
    return S3Store(
        location.bucket,
        prefix=location.prefix or None,
        config={
            "region": region,
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,  # goes before the other, and may be in the environment
            "virtual_hosted_style_request": False,
            "skip_signature": False,
            "disable_bulk_delete": True,  # not every S3-compatible server has it
        },
        client_options=client,
        retry_config=retry,
        credential_provider=lambda: shown,
    )


def _azure(
    location: Location, credentials: Mapping[str, str], client: "ClientConfig", retry: "RetryConfig"
) -> AzureStore:
    account = location.options.get("account")
    if account is None:
        raise StoreConfigError(
            "an Azure address must name the account", where=location.where, fix="Add ?account=NAME."
        )
    shown: AzureCredential
    if key := credentials.get("AZURE_STORAGE_ACCOUNT_KEY"):
        shown = {"access_key": key, "expires_at": None}
    else:
        shown = {"sas_token": credentials["AZURE_STORAGE_SAS_TOKEN"], "expires_at": None}
    return AzureStore(
        location.bucket,
        prefix=location.prefix or None,
        config={
            "account_name": account,
            "endpoint": location.options.get("endpoint", f"https://{account}.blob.core.windows.net"),
            "use_emulator": False,
            "skip_signature": False,
        },
        client_options=client,
        retry_config=retry,
        credential_provider=lambda: shown,
    )


def _gcs(
    location: Location, credentials: Mapping[str, str], client: "ClientConfig", retry: "RetryConfig"
) -> GCSStore:
    config: GCSConfig = {
        "base_url": location.options.get("endpoint", GCS_ENDPOINT),
        "skip_signature": False,
    }
    token = credentials.get(STATIC_TOKEN)
    if token is not None:
        shown: GCSCredential = {"token": token, "expires_at": None}
        return GCSStore(
            location.bucket,
            prefix=location.prefix or None,
            config=config,
            client_options=client,
            retry_config=retry,
            credential_provider=lambda: shown,
        )
    if STATIC_TOKEN in os.environ:
        raise StoreConfigError(
            f"the environment's {STATIC_TOKEN} would be used in place of the service account",
            where=location.where,
            fix="Take it out of the hub's environment.",
        )
    config["service_account_key"] = credentials["GOOGLE_SERVICE_ACCOUNT_KEY"]
    return GCSStore(
        location.bucket,
        prefix=location.prefix or None,
        config=config,
        client_options=client,
        retry_config=retry,
    )
