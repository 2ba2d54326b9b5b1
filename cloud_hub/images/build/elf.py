"""Making a program of this machine fit for an image: no install prefix, no debugging data (ELF, 64-bit)."""

import re
import struct
from typing import Final

MAGIC: Final = b"\x7fELF"
_CLASS_64_LITTLE: Final = bytes([2, 1])
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")


def without_prefix(program: bytes, prefix: str) -> bytes:
    """Return ``program`` with the folder that holds the install ``prefix`` overwritten by slashes.

    The prefix stands in run paths and in defaults that Python does not need, as it finds itself by its
    landmarks. ``/home/ann/pythons/3.11.7`` becomes ``//////////////////3.11.7``: every string keeps its
    length and its end, because linkers let a shorter string ("3.11.7", which is Python's version) point
    into the end of a longer one.
    """
    folder, slash, name = prefix.encode().rpartition(b"/")
    if not folder or not name:
        return program
    places = re.compile(re.escape(folder) + rb"(?=" + re.escape(slash + name) + rb"[/:\0])")
    return places.sub(lambda match: b"/" * len(match[0]), program)


def trimmed(program: bytes) -> bytes:
    """Return ``program`` without what follows its segments: symbols for debuggers and the section table.

    The loader reads segments only. In a Python that was built from source this is most of the bytes.
    A file that is not 64-bit little-endian ELF, or whose segments do not add up, is returned as it is.
    """
    if len(program) < _HEADER.size or program[4:6] != _CLASS_64_LITTLE:
        return program
    fields = list(_HEADER.unpack_from(program))
    table, entry_size, count = fields[5], fields[9], fields[10]
    end = table + entry_size * count
    if entry_size != _SEGMENT.size or end > len(program):
        return program
    for number in range(count):
        segment = _SEGMENT.unpack_from(program, table + number * entry_size)
        end = max(end, segment[2] + segment[5])
    if end > len(program):
        return program
    fields[6] = fields[12] = fields[13] = 0  # no section table, so no sections and no names of them
    return _HEADER.pack(*fields) + program[_HEADER.size : end]
