"""One hub's telemetry over a database, a folder of its own, and a share that workspaces may attach."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.datastores.service import Datastores, add_default
from cloud_hub.datastores.telemetry import TelemetryStores
from cloud_hub.db.engine import Database
from cloud_hub.secrets.key_file import FileMasterKeys
from cloud_hub.secrets.service import Secrets
from cloud_hub.secrets.text import SecretText
from cloud_hub.settings import Settings
from cloud_hub.telemetry.attached import AttachedFiles
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.ingest import Ingest
from cloud_hub.telemetry.query import Telemetry
from cloud_hub.telemetry.rows import FileRow, PendingRow
from cloud_hub.telemetry.state import TelemetryState
from tests.hub.acting import BY, audit
from tests.hub.test_exactly_once import batch

ALL = "SELECT CAST(body AS INTEGER) FROM s ORDER BY 1"


@dataclass
class Stage:
    """The services of one hub around a database; ``share`` is a folder that its owner allows."""

    database: Database
    folder: Path
    most_bytes: int = 1 << 20
    made: int = field(default=0)

    def __post_init__(self) -> None:
        self.share.mkdir(exist_ok=True)
        self.own = FolderStore(self.folder / "objects")
        key_file = self.folder / "master-keys"
        keys = FileMasterKeys.load(key_file) if key_file.exists() else FileMasterKeys.create(key_file)
        self.secrets = Secrets(self.database, keys, audit(self.database))
        self.stores = self.stores_over(self.database)
        self.datastores = self.stores.datastores
        self.start()

    def start(self, kind: type[Files] = Files) -> None:
        """Begin with empty memory, as a hub that was started again."""
        self.made += 1
        self.files = kind(self.database, self.own, self.stores)
        cache = AttachedFiles(self.stores, self.folder / f"cache-{self.made}", self.most_bytes)
        self.telemetry = Telemetry(self.database, self.own, self.files, cache)

    def stores_over(self, database: Database) -> TelemetryStores:
        """Return this stage's places as a database names them."""
        settings = Settings(
            data_dir=self.folder,
            datastore_folders=(str(self.folder),),
            datastore_endpoints=("127.0.0.1",),
        )
        datastores = Datastores(database, self.own, self.secrets, audit(database), settings)
        return TelemetryStores(database, datastores)

    @property
    def share(self) -> Path:
        return self.folder / "share"

    def attach(
        self, url: str = "", workspace: str = "shop", credentials: dict[str, str] | None = None
    ) -> None:
        """Attach a place as ``lake`` and let telemetry go there."""
        if credentials:
            self.secrets.write(workspace, "key", SecretText(json.dumps(credentials)), BY)
        secret = "key" if credentials else None
        self.datastores.attach(workspace, "lake", url or str(self.share), secret, BY, default=False)
        self.stores.choose(workspace, "lake", BY)

    def ingest(self, first: int, last: int, device: str = "cam-1") -> None:
        message = batch(first, last)
        subject = message.subject.replace("cam-1", device)
        Ingest(self.database).store([type(message)(subject, message.payload)])

    def stored(self, workspace: str = "shop") -> list[int]:
        return [row[0] for row in self.telemetry.query(workspace, ALL).rows]

    def state(self, workspace: str = "shop") -> TelemetryState:
        return self.telemetry.state(workspace)

    def rows(self) -> list[FileRow]:
        with self.database.reading() as session:
            return list(session.scalars(select(FileRow).order_by(FileRow.created_at)))

    def pending(self) -> int:
        with self.database.reading() as session:
            return session.query(PendingRow).count()


def parquet(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def furnished(database: Database, folder: Path) -> Stage:
    """Return a stage whose workspaces shop and lab have their default datastores."""
    for workspace in ("shop", "lab"):
        with database.transaction() as session:
            add_default(session, workspace, BY)
    return Stage(database, folder)
