"""`Outside` of `cloud_hub.blobs`: blobs that external registries keep."""

from collections.abc import Iterator
from contextlib import ExitStack

from cloud_hub.db.engine import Database
from cloud_hub.errors import NotFoundError
from cloud_hub.image_stores.rows import ImageStoreRow
from cloud_hub.oci_client.access import RegistryAccess
from cloud_hub.oci_client.login import Login
from cloud_hub.oci_client.pull import open_blob
from cloud_hub.oci_client.requests import RegistryRequests
from cloud_hub.secrets.service import Secrets

REMEMBERED = 100


class OutsideRegistries:
    """Doors to the external registries of all workspaces, each with its workspace's credential."""

    def __init__(self, database: Database, secrets: Secrets, access: RegistryAccess) -> None:
        self._database = database
        self._secrets = secrets
        self.access = access
        # Tokens are kept as long as the credential is the same.
        self._doors: dict[tuple[str, str, str | None, int], RegistryRequests] = {}

    def door(self, workspace: str, registry: str, secret: str | None) -> RegistryRequests:
        """Return the way to a registry; raises what `Secrets.read` does."""
        version, login = 0, None
        if secret is not None:
            version, text = self._secrets.read_version(workspace, secret)
            login = Login(text)
        key = (workspace, registry, secret, version)
        found = self._doors.get(key)
        if found is None:
            if len(self._doors) >= REMEMBERED:
                self._doors.clear()
            found = self._doors[key] = self.access.requests(registry, login)
        return found

    def read(self, place: str, digest: str, size_bytes: int, offset: int, length: int) -> Iterator[bytes]:
        """See `cloud_hub.blobs.service.Outside`; the registry has answered when this returns."""
        store, _, repository = place.partition(":")
        with self._database.reading() as session:
            row = session.get(ImageStoreRow, int(store))
        if row is None:
            raise NotFoundError("the image store that has these bytes is not known any more", where=digest)
        if length == 0:
            return iter(())
        door = self.door(row.workspace, row.host, row.secret)
        with ExitStack() as opening:
            chunks = opening.enter_context(open_blob(door, repository, digest, size_bytes, offset, length))
            return _until_closed(opening.pop_all(), chunks)


def _until_closed(closing: ExitStack, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with closing:
        yield from chunks
