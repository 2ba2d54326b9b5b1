"""A workspace's datastores, and the files in them."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from cloud_hub.sdk.client import CHUNK_BYTES, Client
from cloud_hub.sdk.errors import SdkError
from cloud_hub.sdk.types import DatastoreFile, DatastoreInfo, StoredFile

Moved = Callable[[int], None]
"""Told how many bytes went over since it was last told."""


class Datastore:
    """One datastore."""

    def __init__(self, client: Client, workspace: str, info: DatastoreInfo) -> None:
        self._client = client
        self._path = f"/workspaces/{workspace}/datastores/{info.name}"
        self.info = info

    def upload(self, path: Path, to: str = "", moved: Moved | None = None) -> list[StoredFile]:
        """Put a file at ``to``, or all files of a folder below it; each is checked by its digest."""
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.is_file())
            prefix = f"{to.rstrip('/')}/" if to else ""
            return [self._put(file, prefix + file.relative_to(path).as_posix(), moved) for file in found]
        if not path.is_file():
            raise SdkError("no such file", where=str(path), fix="Check the path.")
        return [self._put(path, path.name if not to else to + path.name if to.endswith("/") else to, moved)]

    def files(self, prefix: str = "") -> Iterator[DatastoreFile]:
        """Yield the files below ``prefix``, or all, by path."""
        after = ""
        while page := self._client.get(
            f"{self._path}/files", list[DatastoreFile], prefix=prefix, after=after
        ):
            yield from page
            after = page[-1].key

    def download(self, key: str, to: Path, moved: Moved | None = None) -> Path:
        """Write the file at ``key`` to the file or into the folder ``to``, whole or not; return where."""
        target = to / Path(key).name if to.is_dir() else to
        beside = target.with_name(f".{target.name}.part")
        try:
            with (
                self._client.stream(f"{self._path}/files/{quote(key)}", {}) as response,
                beside.open("wb") as file,
            ):
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    file.write(chunk)
                    if moved is not None:
                        moved(len(chunk))
            beside.replace(target)
        except OSError as error:
            raise SdkError(
                f"cannot write the file ({error.strerror})", where=str(target), fix="Choose another place."
            ) from error
        finally:
            beside.unlink(missing_ok=True)
        return target

    def delete(self, key: str) -> None:
        """Delete a file."""
        self._client.delete(f"{self._path}/files/{quote(key)}")

    def _put(self, path: Path, key: str, moved: Moved | None) -> StoredFile:
        digester = hashlib.sha256()

        def watch(chunk: bytes) -> None:
            digester.update(chunk)
            if moved is not None:
                moved(len(chunk))

        stored = self._client.put_stream(f"{self._path}/files/{quote(key)}", path, StoredFile, watch)
        if stored.digest != f"sha256:{digester.hexdigest()}":
            raise SdkError("the file changed on its way", where=str(path), fix="Upload it again.")
        return stored


class Datastores:
    """The datastores of one workspace."""

    def __init__(self, client: Client, workspace: str) -> None:
        self._client = client
        self._workspace = workspace
        self._path = f"/workspaces/{workspace}/datastores"

    def all(self) -> list[DatastoreInfo]:
        """Return the datastores by name."""
        return self._client.get(self._path, list[DatastoreInfo])

    def attach(
        self, name: str, url: str = "hub:", *, secret: str | None = None, default: bool = False
    ) -> DatastoreInfo:
        """Attach a datastore; ``secret`` names its credentials in the workspace's secrets."""
        body = {"name": name, "url": url, "secret": secret, "default": default}
        return self._client.post(self._path, body, DatastoreInfo)

    def detach(self, name: str) -> None:
        """Forget a datastore; its files stay."""
        self._client.delete(f"{self._path}/{name}")

    def make_default(self, name: str) -> DatastoreInfo:
        """Make it the one that is meant where none is named."""
        return self._client.post(f"{self._path}/{name}/default", {}, DatastoreInfo)

    def open(self, name: str = "") -> Datastore:
        """Return a datastore by name, or the default one."""
        found = [info for info in self.all() if (info.name == name if name else info.is_default)]
        if not found:
            raise SdkError(
                "no such datastore", where=name or "default", fix="`headland datastore list` shows them."
            )
        return Datastore(self._client, self._workspace, found[0])
