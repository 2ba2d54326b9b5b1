"""Where bytes are, as one URL without any secret. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from cloud_hub.blobs.errors import StoreConfigError
from cloud_hub.blobs.port import check_key

Scheme = Literal["file", "s3", "az", "gs"]
# What may stand behind the question mark, by scheme.
OPTIONS: dict[str, frozenset[str]] = {
    "s3": frozenset({"region", "endpoint", "ca_file"}),
    "az": frozenset({"account", "endpoint", "ca_file"}),
    "gs": frozenset({"endpoint", "ca_file"}),
}
EXAMPLES = "Write /folder, s3://bucket/prefix, az://container/prefix?account=NAME or gs://bucket/prefix."


@dataclass(frozen=True)
class Location:
    """A store's place: ``bucket`` is a folder's path for ``file``, and Azure's container for ``az``."""

    scheme: Scheme
    bucket: str
    prefix: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def where(self) -> str:
        """How errors name it."""
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def read_location(url: str) -> Location:
    """Read a URL or an absolute path; raises `StoreConfigError`, which never repeats the URL."""
    if url.startswith("/"):
        return Location("file", str(Path(url)))
    try:
        parts = urlsplit(url)
        named = parts.hostname or ""
        port = parts.port
    except ValueError:
        raise _wrong("the address of the object store is no URL") from None
    if "@" in parts.netloc:
        raise _wrong(
            "the address of the object store holds a user name or password",
            fix="Take it out; credentials belong into the environment or a file, never into the address.",
        )
    if parts.fragment:
        raise _wrong("the address of the object store has a part behind #")
    path = unquote(parts.path)
    if parts.scheme == "file":
        if parts.netloc or not path.startswith("/") or parts.query:
            raise _wrong("a file address must be file:///folder")
        return Location("file", str(Path(path)))
    if parts.scheme not in OPTIONS or not named or port is not None:
        raise _wrong("that is no address of an object store")
    prefix = path.strip("/")
    try:
        prefix = check_key(prefix) if prefix else ""
    except ValueError:
        raise _wrong("the prefix in the address of the object store is not usable") from None
    options = _options(parts.scheme, parts.query)
    scheme: Scheme = "s3" if parts.scheme == "s3" else "az" if parts.scheme == "az" else "gs"
    return Location(scheme, parts.netloc, prefix, MappingProxyType(options))


def _options(scheme: str, query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs) or not all(options.values()) or options.keys() - OPTIONS[scheme]:
        allowed = ", ".join(sorted(OPTIONS[scheme]))
        raise _wrong(f"behind ? of {scheme}:// there may be only, once each: {allowed}")
    if "endpoint" in options:
        _check_endpoint(options["endpoint"])
    return options


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise _wrong("the endpoint is no URL") from None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise _wrong("the endpoint must be https://host[:port][/path]")
    if "@" in parts.netloc:
        raise _wrong("the endpoint holds a user name or password", fix="Take it out.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise _wrong(
            "the endpoint is not encrypted, and on another machine",
            fix="Use https; ca_file names the certificate of a private authority.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wrong(what: str, fix: str = EXAMPLES) -> StoreConfigError:
    return StoreConfigError(what, where="object_store", fix=fix)
