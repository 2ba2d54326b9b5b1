"""Which loader a program asks for: ELF (System V ABI, "Program Header"), or a script's first line."""

import struct
from pathlib import Path

PT_INTERP = 3
HEAD_BYTES = 4096


def elf_loader(program: Path) -> str | None:
    """Return the path of the loader that a 64-bit little-endian ELF program names.

    None where it names none: a static program, a script, or another kind of file.
    """
    with program.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return None
        (table,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(table)
        headers = file.read(size * count)
        for at in range(0, len(headers) - 55, max(size, 56)):
            kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", headers, at)
            if kind == PT_INTERP and length <= HEAD_BYTES:
                file.seek(offset)
                return file.read(length).rstrip(b"\0").decode(errors="replace")
    return None


def script_interpreter(program: Path) -> list[str]:
    """Return a script's interpreter and its one argument, if any; empty where it is no script."""
    with program.open("rb") as file:
        line = file.readline(HEAD_BYTES)
    if not line.startswith(b"#!"):
        return []
    return line[2:].decode(errors="replace").strip().split(maxsplit=1)
