"""Reads a tar archive as a stream: POSIX ustar and pax (IEEE Std 1003.1, "pax"), and GNU's long names.

Only what an image's layer needs is read; all else is refused. Memory stays small whatever the
archive says: extended headers are bounded, and data comes in chunks.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Final

from agent.errors import AgentError

BLOCK: Final = 512
CHUNK: Final = 128 * 1024
EXTENDED_MAX: Final = 64 * 1024
OCTAL: Final = frozenset(b"01234567")


class UnpackError(AgentError):
    """An archive is damaged, dangerous, or holds what Headland does not unpack."""

    code = "archive-refused"


class Kind(Enum):
    """What a member is."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"


KINDS: Final = {b"0": Kind.FILE, b"\0": Kind.FILE, b"5": Kind.FOLDER, b"2": Kind.SYMLINK, b"1": Kind.HARDLINK}
REFUSED: Final = {b"3": "a device", b"4": "a device", b"6": "a fifo", b"S": "a sparse file"}


@dataclass(frozen=True)
class Member:
    """One member; ``link`` is the target of a link; ``modified_at`` in seconds since 1970."""

    name: str
    kind: Kind
    mode: int
    size_bytes: int
    link: str
    modified_at: int


class MeteredStream:
    """Counts and hashes what is read of ``source``; more than ``max_bytes`` is an `UnpackError`."""

    def __init__(self, source: BinaryIO, max_bytes: int) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self.read_bytes = 0

    @property
    def digest(self) -> str:
        """Digest of what was read so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; fewer only at the end."""
        data = self._source.read(size)
        self.read_bytes += len(data)
        if self.read_bytes > self._max_bytes:
            raise UnpackError(
                f"it holds more than {self._max_bytes} bytes", where="archive", fix="Use a smaller image."
            )
        self._hash.update(data)
        return data

    def read_exactly(self, size: int) -> bytes:
        """Return ``size`` bytes, or raise `UnpackError`."""
        data = self.read(size)
        if len(data) != size:
            raise UnpackError("it ends too early", where="archive", fix="Pull it again.")
        return data


class TarReader:
    """Iterates over the members of a stream; `data` gives the bytes of the one reached."""

    def __init__(self, stream: MeteredStream, max_members: int) -> None:
        self._stream = stream
        self._max_members = max_members
        self._headers = 0
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        """Yield members to the end of the archive, and read the stream to its own end."""
        extended: dict[str, str] = {}
        while (header := self._next_header()) is not None:
            kind, size = header[156:157], number(header[124:136])
            if kind in {b"x", b"L", b"K"}:
                extended |= _extended(kind, self._short_data(size))
            elif kind == b"g":
                if {"path", "linkpath", "size"} & _extended(b"x", self._short_data(size)).keys():
                    raise UnpackError("a global header renames members", where="archive")
            else:
                yield self._member(header, kind, extended, size)
                extended = {}
        while self._stream.read(CHUNK):
            pass

    def data(self) -> Iterator[bytes]:
        """Yield what is left of the data of the member that was yielded last."""
        while self._left:
            chunk = self._stream.read_exactly(min(self._left, CHUNK))
            self._left -= len(chunk)
            yield chunk

    def _next_header(self) -> bytes | None:
        for _ in self.data():
            pass
        self._stream.read_exactly(self._padding)
        self._padding = 0
        header = self._stream.read_exactly(BLOCK)
        if not any(header):
            if any(self._stream.read_exactly(BLOCK)):
                raise UnpackError("its end is not two empty blocks", where="archive")
            return None
        self._headers += 1
        if self._headers > self._max_members:
            raise UnpackError(f"it has more than {self._max_members} members", where="archive")
        unsigned = sum(header) - sum(header[148:156]) + 8 * 0x20
        if number(header[148:156]) != unsigned:
            raise UnpackError("a header's checksum is wrong", where="archive")
        return header

    def _short_data(self, size: int) -> bytes:
        if size > EXTENDED_MAX:
            raise UnpackError(f"an extended header is over {EXTENDED_MAX} bytes", where="archive")
        data = self._stream.read_exactly(size)
        self._stream.read_exactly(-size % BLOCK)
        return data

    def _member(self, header: bytes, type_flag: bytes, extended: dict[str, str], size: int) -> Member:
        name = extended.get("path") or _name(header)
        if type_flag not in KINDS:
            what = REFUSED.get(type_flag, "a member of an unknown type")
            raise UnpackError(f"it holds {what}", where="archive", fix="Build the image without it.")
        kind = KINDS[type_flag]
        size = _decimal(extended.get("size", str(size)))
        if kind is not Kind.FILE and size:
            raise UnpackError(f"a {kind.value} carries data", where="archive")
        self._left, self._padding = size, -size % BLOCK
        return Member(
            name=name,
            kind=kind,
            mode=number(header[100:108]),
            size_bytes=size,
            link=extended.get("linkpath") or text(header[157:257]),
            modified_at=_decimal(extended.get("mtime", str(number(header[136:148]))).partition(".")[0]),
        )


def _name(header: bytes) -> str:
    name = text(header[:100])
    # GNU's own format uses the prefix's place for other things; its magic ends in a space.
    prefix = text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def text(field: bytes) -> str:
    """Return a field up to its first NUL; bytes that are not UTF-8 survive as surrogates."""
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def number(field: bytes) -> int:
    """Return a header's number: octal, or GNU's base-256 (not negative). Raises `UnpackError`."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not set(digits) <= OCTAL:
        raise UnpackError("a header's number is not one", where="archive")
    return int(digits or b"0", 8)


def _decimal(digits: str) -> int:
    negative = digits.startswith("-")
    if not digits.removeprefix("-").isdigit() or not digits.isascii() or len(digits) > 20:
        raise UnpackError("a header's number is not one", where="archive")
    return 0 if negative else int(digits)


def _extended(type_flag: bytes, data: bytes) -> dict[str, str]:
    """Read the records of an extended header; of GNU's long names, the one."""
    if type_flag != b"x":
        return {"path" if type_flag == b"L" else "linkpath": text(data)}
    found: dict[str, str] = {}
    while data:
        length, space, _ = data.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(data) or len(length) > 6:
            raise UnpackError("an extended header is malformed", where="archive")
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        name, _, value = record.removesuffix(b"\n").partition(b"=")
        if b"\0" in value and name in {b"path", b"linkpath"}:
            raise UnpackError("a name holds a NUL", where="archive")
        if name.startswith(b"GNU.sparse."):
            raise UnpackError("it holds a sparse file", where="archive", fix="Build the image without it.")
        found[name.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
    return found
