"""Making a program of this machine fit for an image: no install prefix, no debugging data (ELF, 64-bit)."""

import re
import struct
from typing import Final

MAGIC: Final = b"\x7fELF"
_CLASS_64_LITTLE: Final = bytes([2, 1])
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")


def relocated(program: bytes, old: str, new: str) -> bytes:
    """Return ``program`` with the path ``old`` in its strings replaced by ``new``, unless that is longer.

    It stands in run paths and in defaults that Python does not need, as it finds itself by its landmarks.
    Each string keeps its length, padded with zero bytes, as in conda's packages.
    """
    source, target = old.encode(), new.encode()
    if len(target) > len(source) or source not in program:
        return program
    strings = re.compile(re.escape(source) + rb"(?=[/:\0])[^\0]*\0")
    return strings.sub(lambda match: match[0].replace(source, target).ljust(len(match[0]), b"\0"), program)


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
