"""Which places people may attach. Pure: an address and what the hub's owner allows."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cloud_hub.blobs.location import Location, read_location
from cloud_hub.errors import ForbiddenError, InvalidInputError

OWN = "hub:"
"""The address of a datastore in the hub's own store."""


def check_place(url: str, *, folders: Sequence[str], endpoints: Sequence[str]) -> Location | None:
    """Return where ``url`` leads; None for the hub's own store.

    ``folders`` are those of this machine below which a datastore may be, ``endpoints`` the hosts that
    an address may name itself; the clouds' own endpoints need no leave. Raises `StoreConfigError`,
    `ForbiddenError`, `InvalidInputError`.
    """
    if url == OWN:
        return None
    location = read_location(url)
    if location.scheme == "file":
        _check_folder(Path(location.bucket), folders)
    if "ca_file" in location.options:
        raise InvalidInputError(
            "a datastore cannot name a file of the hub", where="ca_file", fix="Leave ca_file out."
        )
    endpoint = location.options.get("endpoint")
    if endpoint is not None and urlsplit(endpoint).hostname not in endpoints:
        raise ForbiddenError(
            "the hub's owner does not allow this endpoint",
            where=urlsplit(endpoint).hostname or "endpoint",
            fix="Ask for it to be added to datastore_endpoints in hub.toml.",
        )
    return location


def _check_folder(folder: Path, folders: Sequence[str]) -> None:
    if ".." in folder.parts or not any(folder.is_relative_to(allowed) for allowed in folders):
        raise ForbiddenError(
            "the hub's owner does not allow this folder",
            where=str(folder),
            fix="Ask for it to be added to datastore_folders in hub.toml.",
        )
