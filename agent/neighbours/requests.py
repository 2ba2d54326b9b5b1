"""What a neighbour may ask for, read from the head of a request (HTTP/1.1, RFC 9112). Pure.

One form and no other: GET or HEAD of a blob or manifest by its digest, with or without a range. Nothing of
the path but the digest is used.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from contract.ids import DIGEST

MAX_HEAD_BYTES: Final = 8 * 1024
_PART: Final = "[a-z0-9]+(?:[._-][a-z0-9]+)*"
_LINE: Final = re.compile(
    rf"(GET|HEAD) /v2/{_PART}(?:/{_PART})*/(blobs|manifests)/({DIGEST.pattern}) HTTP/1\.[01]"
)
_LONGEST_LINE: Final = 512
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_RANGE: Final = re.compile(r"bytes=(\d{1,18})-(\d{1,18})?")
_BODY: Final = {"content-length", "transfer-encoding", "expect", "upgrade"}


@dataclass(frozen=True)
class Ask:
    """A request: ``last`` is the last byte wanted, none: all from ``first`` on."""

    body: bool
    manifest: bool
    digest: str
    first: int | None = None
    last: int | None = None

    def window(self, size_bytes: int) -> range | None:
        """Return the bytes to give of a content of that size; none: there are none of those asked for."""
        if self.first is None:
            return range(size_bytes)
        end = size_bytes if self.last is None else min(self.last + 1, size_bytes)
        return range(self.first, end) if self.first < end else None


def read_ask(head: bytes) -> Ask | HTTPStatus:
    """Read a head up to its empty line; return the status to refuse with where it is not of our form."""
    try:
        line, *fields = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    except UnicodeDecodeError:
        return HTTPStatus.BAD_REQUEST
    found = _LINE.fullmatch(line) if len(line) <= _LONGEST_LINE else None
    if found is None:
        return HTTPStatus.NOT_FOUND
    ranges = []
    for field in fields:
        named = _FIELD.fullmatch(field)
        if named is None or named[1].lower() in _BODY:
            return HTTPStatus.BAD_REQUEST
        if named[1].lower() == "range":
            ranges.append(named[2])
    first, last = None, None
    if ranges:
        wanted = _RANGE.fullmatch(ranges[0])
        if wanted is None or len(ranges) > 1:
            return HTTPStatus.BAD_REQUEST
        first, last = int(wanted[1]), int(wanted[2]) if wanted[2] else None
    return Ask(found[1] == "GET", found[2] == "manifests", found[3], first, last)
