"""Names of entries: what a path in an archive may look like. Pure."""

import unicodedata

from cloud_hub.archives.errors import ArchiveRefusedError
from cloud_hub.archives.limits import ArchiveLimits

Parts = tuple[str, ...]


def parts_of(name: str, limits: ArchiveLimits) -> Parts:
    """Return the parts of an entry's name, ``.`` and doubled slashes left out; empty for the root.

    Raises `ArchiveRefusedError`. Backslashes and drive letters are refused although they mean nothing
    here: the folder may be packed into an image and unpacked elsewhere.
    """
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        raise ArchiveRefusedError("absolute-name", "an entry has an absolute name")
    if "\\" in name or any(unicodedata.category(letter) in {"Cc", "Cf", "Cs"} for letter in name):
        raise ArchiveRefusedError("bad-letter", "an entry's name holds a backslash or control character")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise ArchiveRefusedError("leads-out", "an entry leads out of the archive")
    if len(parts) > limits.max_depth:
        raise ArchiveRefusedError("too-deep", f"an entry lies deeper than {limits.max_depth} folders")
    if len(name.encode()) > limits.max_path_bytes or any(
        len(part.encode()) > limits.max_part_bytes for part in parts
    ):
        raise ArchiveRefusedError("long-name", "an entry's name is longer than allowed")
    return parts


def folded(parts: Parts) -> Parts:
    """Return what a file system without upper case, or with another Unicode form, would see."""
    return tuple(unicodedata.normalize("NFC", unicodedata.normalize("NFC", p).casefold()) for p in parts)
