"""What an ELF program is for and what it needs, read from its bytes (64-bit, little-endian); pure."""

import struct
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"\x7fELF\x02\x01"
MACHINES: Final = {62: "x86_64", 183: "aarch64"}
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB = 1, 5


@dataclass(frozen=True)
class Needs:
    """The machine of a program (``x86_64``, or its number) and the names of the libraries that it needs."""

    machine: str
    libraries: tuple[str, ...]


def needs_of(program: bytes) -> Needs | None:
    """Return what a program needs, or None for what is no such program; raises `ValueError` if damaged."""
    if not program.startswith(MAGIC):
        return None
    try:
        fields = _HEADER.unpack_from(program)
        segments = [_SEGMENT.unpack_from(program, fields[5] + fields[9] * n) for n in range(fields[10])]
        libraries = _libraries(program, segments)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError("a damaged ELF program") from error
    return Needs(MACHINES.get(fields[2], str(fields[2])), libraries)


def _libraries(program: bytes, segments: list[tuple[int, ...]]) -> tuple[str, ...]:
    dynamic = next((segment for segment in segments if segment[0] == _PT_DYNAMIC), None)
    if dynamic is None:
        return ()
    rows = program[dynamic[2] : dynamic[2] + dynamic[5]]
    table = list(_DYNAMIC.iter_unpack(rows[: len(rows) // _DYNAMIC.size * _DYNAMIC.size]))
    strings = next(value for tag, value in table if tag == _DT_STRTAB)
    # The table says an address; the segment that is loaded there says where in the file it is.
    start = next(
        segment[2] + strings - segment[3]
        for segment in segments
        if segment[0] == _PT_LOAD and segment[3] <= strings < segment[3] + segment[6]
    )
    found = []
    for tag, value in table:
        if tag == 0:
            break
        if tag == _DT_NEEDED:
            end = program.index(b"\0", start + value)
            found.append(program[start + value : end].decode("ascii"))
    return tuple(found)
