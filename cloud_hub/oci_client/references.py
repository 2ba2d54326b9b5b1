"""References to images: ``host[:port]/path[:tag][@digest]``, read as Docker reads them. Pure.

The grammar is that of github.com/distribution/reference: a first part is a host where it holds a dot, a
colon or an upper-case letter, or is ``localhost``; else the image is Docker Hub's, with ``library/`` before a
path of one part.
"""

import re
from dataclasses import dataclass
from typing import Final

from cloud_hub.oci_client.errors import InvalidReferenceError
from contract.ids import DIGEST

DOCKER_HUB: Final = "docker.io"
DOCKER_HUB_NAMES: Final = frozenset({"docker.io", "index.docker.io"})
DOCKER_HUB_HOST: Final = "registry-1.docker.io"
MAX_BYTES: Final = 1024
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
PATH: Final = re.compile(rf"{_PART}(?:/{_PART})*")
HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
MAX_PATH_BYTES: Final = 255


@dataclass(frozen=True)
class Reference:
    """An image elsewhere: ``registry`` is ``host[:port]``; ``tag`` or ``digest`` may be empty, not both."""

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def asked(self) -> str:
        """What the registry is asked for: the digest where there is one, as the tag may have moved."""
        return self.digest or self.tag

    def at(self, digest: str) -> "Reference":
        """Return the same image by digest alone."""
        return Reference(self.registry, self.path, "", digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.path}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Return the reference that ``text`` writes; without tag and digest it is ``latest``.

    Raises `InvalidReferenceError`.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise _wrong("it is too long")
    named, at, digest = text.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise _wrong("its digest is not sha256: and 64 hex digits")
    head, slash, rest = named.partition("/")
    if slash and (head == "localhost" or any(c in ".:[" or c.isupper() for c in head)):
        registry = head
    else:
        registry, rest = DOCKER_HUB, named
    path, colon, tag = rest.partition(":")
    if colon and not TAG.fullmatch(tag):
        raise _wrong("its tag has letters that a tag cannot have")
    registry = registry.lower()
    if registry in DOCKER_HUB_NAMES:
        registry, path = DOCKER_HUB, path if "/" in path else f"library/{path}"
    if not HOST.fullmatch(registry):
        raise _wrong("its host is not a name or address")
    if len(path) > MAX_PATH_BYTES or not PATH.fullmatch(path):
        raise _wrong("its path is not lower-case words between slashes")
    return Reference(registry, path, tag or ("" if digest else "latest"), digest)


def host_of(registry: str) -> str:
    """Return the host that answers for a registry: Docker Hub's has another name than its images."""
    return DOCKER_HUB_HOST if registry == DOCKER_HUB else registry


def _wrong(what: str) -> InvalidReferenceError:
    return InvalidReferenceError(
        f"it is no reference to an image: {what}",
        where="reference",
        fix="Write host/path:tag or host/path@sha256:...",
    )
