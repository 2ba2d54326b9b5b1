"""Is this a pickle? Told from opcodes alone, without running any (Python's `pickletools`).

A pickle does harm only from the first opcode that names a function on; what has an opcode that no
unpickler knows before that is harmless, and may be weights that only begin alike.
"""

import bz2
import io
import lzma
import pickletools
import re
import zlib
from typing import Final

HEAD_BYTES: Final = 64 * 1024
SUFFIXES: Final = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".dill", ".cloudpickle")
PROTOCOLS: Final = re.compile(rb"\x80[\x02-\x05]")
CALLS: Final = {"REDUCE", "BUILD", "OBJ", "NEWOBJ", "NEWOBJ_EX"}
NAME: Final = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
TEXTS: Final = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINSTRING", "BINSTRING",
                "STRING", "BINGET", "LONG_BINGET", "MEMOIZE", "GET"}  # fmt: skip
LZMA_MEMORY_BYTES = 64 * 1024**2


def is_pickle(head: bytes, size_bytes: int) -> bool:
    """Do the first bytes of a file of ``size_bytes`` begin a pickle, of whatever protocol?"""
    marked = PROTOCOLS.match(head) is not None
    seen = _Seen()
    try:
        for opcode, argument, position in pickletools.genops(io.BytesIO(head)):
            if seen.acts(opcode, argument):
                return True
            if opcode.name == "STOP" and (marked or position == size_bytes - 1) and seen.opcodes > 1:
                return True
    except Exception:
        # `genops` raises whatever an argument's decoder does. Cut off at the end of what was looked
        # at, or not a pickle: then few opcodes were read.
        return marked and seen.opcodes > 2
    return marked


class _Seen:
    """What came before an opcode: labels in a text may look like one opcode, not like all it needs."""

    def __init__(self) -> None:
        self.opcodes = 0
        self._texts = 0
        self._marks = 0
        self._pushed_since_name = -1

    def acts(self, opcode: pickletools.OpcodeInfo, argument: object) -> bool:
        """Take an opcode in; does it call, or name, what the pickle's author chose?"""
        self.opcodes += 1
        self._texts += opcode.name in TEXTS
        self._marks += opcode.name == "MARK"
        named = NAME.fullmatch(str(argument)) is not None
        if opcode.name == "GLOBAL" and named:
            self._pushed_since_name = 0
        elif self._pushed_since_name >= 0 and not opcode.stack_before and opcode.stack_after:
            self._pushed_since_name += 1
        return (
            (opcode.name == "INST" and named and self._marks > 0)
            or (opcode.name == "STACK_GLOBAL" and self._texts >= 2)
            or (opcode.name in CALLS and self._pushed_since_name > 0)
        )


def unwrapped(head: bytes) -> bytes | None:
    """Return the start of what zlib, gzip, bzip2 or xz holds, as joblib writes it; None for none of them."""
    try:
        if head[:1] == b"\x78" and int.from_bytes(head[:2]) % 31 == 0:
            return zlib.decompressobj().decompress(head, HEAD_BYTES)
        if head.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
        if head.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(head, HEAD_BYTES)
        if head.startswith(b"\xfd7zXZ\0"):
            return lzma.LZMADecompressor(memlimit=LZMA_MEMORY_BYTES).decompress(head, HEAD_BYTES)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        return None
    return None
