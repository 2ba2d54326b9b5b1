"""As whom the hub uses its object store: from a file that only it can read, else from its environment."""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from cloud_hub.blobs.errors import StoreConfigError
from cloud_hub.blobs.location import Scheme

# By scheme: sets of names, one of which must be whole; what may be added.
NEEDED: dict[Scheme, tuple[frozenset[str], ...]] = {
    "file": (frozenset(),),
    "s3": (frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}),),
    "az": (frozenset({"AZURE_STORAGE_ACCOUNT_KEY"}), frozenset({"AZURE_STORAGE_SAS_TOKEN"})),
    "gs": (frozenset({"GOOGLE_SERVICE_ACCOUNT_KEY"}), frozenset({"GOOGLE_BEARER_TOKEN"})),
}
ALSO: dict[Scheme, frozenset[str]] = {"s3": frozenset({"AWS_SESSION_TOKEN"})}


def names_of(scheme: Scheme) -> frozenset[str]:
    """Return the names of all credentials that a kind of store knows."""
    return frozenset().union(*NEEDED[scheme], ALSO.get(scheme, frozenset()))


def check_credentials(scheme: Scheme, credentials: Mapping[str, str]) -> None:
    """Raise `StoreConfigError` where names are missing, unknown, or say two different identities."""
    if unknown := sorted(credentials.keys() - names_of(scheme)):
        raise StoreConfigError(
            f"unknown credentials: {', '.join(unknown)}", where=scheme, fix=f"Known: {_wanted(scheme)}."
        )
    held = {name for name, value in credentials.items() if value}
    if sum(needed <= held for needed in NEEDED[scheme]) != 1:
        raise StoreConfigError(
            "the credentials of the object store are not there, or say two identities",
            where=scheme,
            fix=f"Give {_wanted(scheme)}, in the file of object_store_credentials or in the environment.",
        )


def load_credentials(scheme: Scheme, file: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the credentials for ``scheme``: all from ``file`` where it is named, else all from variables.

    Raises `StoreConfigError`; no value is ever repeated in it.
    """
    if file:
        return _read(Path(file))
    return {name: environment[name] for name in sorted(names_of(scheme)) if environment.get(name)}


def _read(path: Path) -> dict[str, str]:
    where = str(path)
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise StoreConfigError(
                    "others may read the file of credentials", where=where, fix=f"chmod 600 {where}"
                )
            raw = tomllib.loads(file.read().decode())
    except OSError as error:
        raise StoreConfigError(
            f"the file of credentials cannot be read ({error.strerror})",
            where=where,
            fix="Correct object_store_credentials, or the file's owner.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # The parser's words may quote a line of it.
        raise StoreConfigError(
            "the file of credentials is not TOML", where=where, fix='Write lines NAME = "value".'
        ) from None
    if not all(isinstance(value, str) for value in raw.values()):
        raise StoreConfigError("a credential is no text", where=where, fix='Write lines NAME = "value".')
    return raw


def _wanted(scheme: Scheme) -> str:
    return " or ".join(" and ".join(sorted(names)) for names in NEEDED[scheme])
