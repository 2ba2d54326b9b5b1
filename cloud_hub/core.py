"""What of a hub is there before the broker and the HTTP edge: rows, bytes, keys, devices."""

import os
from dataclasses import dataclass
from pathlib import Path

from cloud_hub.audit.service import Audit
from cloud_hub.blobs.claim import claim
from cloud_hub.blobs.credentials import load_credentials
from cloud_hub.blobs.location import read_location
from cloud_hub.blobs.opening import open_with_files
from cloud_hub.blobs.part_blocks import BlockParts
from cloud_hub.blobs.parts import FileParts, Parts
from cloud_hub.blobs.port import LocalFiles, ObjectStore
from cloud_hub.broker.cluster import Cluster
from cloud_hub.cluster.leases import Leases
from cloud_hub.cluster.share import Alone, Share
from cloud_hub.cluster.work import PARTITIONS, all_work
from cloud_hub.datastores.service import Datastores
from cloud_hub.datastores.telemetry import TelemetryStores
from cloud_hub.db.engine import Database
from cloud_hub.db.owner import claim as claim_database
from cloud_hub.devices.service import Devices, HubFacts
from cloud_hub.image_stores.outside import OutsideRegistries
from cloud_hub.init import (
    PKI,
    SIGNING_KEY,
    database_of,
    issue_member_certificate,
    issue_server_certificate,
)
from cloud_hub.keys import open_master_keys
from cloud_hub.oci_client.access import RegistryAccess
from cloud_hub.pki.authority import Authority
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.secrets.key_file import FileMasterKeys
from cloud_hub.secrets.service import Secrets
from cloud_hub.settings import Settings
from cloud_hub.telemetry.files import Files


@dataclass(frozen=True)
class Core:
    """What is there before the broker and the HTTP edge: rows, bytes, keys, devices."""

    database: Database
    store: ObjectStore
    local: LocalFiles
    authority: Authority
    signer: DesiredSigner
    master_keys: FileMasterKeys
    audit: Audit
    devices: Devices
    secrets: Secrets
    registries: OutsideRegistries
    datastores: Datastores
    telemetry_stores: TelemetryStores
    files: Files
    certificate: Path
    key: Path
    cluster: Cluster | None
    share: Share

    @classmethod
    def open(cls, settings: Settings) -> "Core":
        """Open the hub of ``settings.data_dir``, its schema brought up to date."""
        pki = settings.data_dir / PKI
        certificate, key = issue_server_certificate(settings)
        database = database_of(settings)
        database.migrate()
        authority, signer = Authority.load(pki), DesiredSigner.load(pki / SIGNING_KEY)
        claim_database(database, authority.fingerprint)
        store, local = open_bytes(settings)
        facts = HubFacts(settings.url, *settings.mqtt_address, signer.public_keys())
        master_keys = open_master_keys(pki, database)
        audit = Audit(database, master_keys.derive("audit"))
        secrets = Secrets(database, master_keys, audit)
        datastores = Datastores(database, store, secrets, audit, settings)
        telemetry_stores = TelemetryStores(database, datastores)
        return cls(
            database=database,
            store=store,
            local=local,
            authority=authority,
            signer=signer,
            master_keys=master_keys,
            audit=audit,
            devices=Devices(database, authority, facts, audit),
            secrets=secrets,
            registries=OutsideRegistries(database, secrets, RegistryAccess.of(settings)),
            datastores=datastores,
            telemetry_stores=telemetry_stores,
            files=Files(database, store, telemetry_stores),
            certificate=certificate,
            key=key,
            cluster=issue_member_certificate(settings),
            share=_share(settings, database),
        )


def partitions_of(settings: Settings) -> int:
    """Return in how many parts telemetry is taken in."""
    return PARTITIONS if settings.clustered else 1


def _share(settings: Settings, database: Database) -> Share:
    work = all_work(partitions_of(settings))
    if settings.clustered:
        return Leases(database, settings.cluster_address, work)
    return Alone(settings.url, work)


def open_bytes(settings: Settings) -> tuple[ObjectStore, LocalFiles]:
    """Return where bytes are kept, and the door by which what reads files itself gets at them."""
    location = read_location(settings.bytes_url)
    store, local = open_with_files(
        settings.bytes_url,
        load_credentials(location.scheme, settings.object_store_credentials, os.environ),
        settings.data_dir / "cache" / "telemetry",
        settings.telemetry_cache_bytes,
    )
    if settings.object_store:
        claim(store, settings.data_dir, location.where)
    return store, local


def parts_of(settings: Settings, core: Core, name: str) -> Parts:
    """Return where what has arrived of uploads is: where every hub that may go on with them finds it."""
    if settings.clustered:
        return BlockParts(core.store, settings.data_dir / "work", name)
    return FileParts(settings.data_dir / name)
