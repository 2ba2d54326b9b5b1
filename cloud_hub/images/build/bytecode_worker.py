"""A child process that compiles Python source and never runs it; started by `bytecode.Compiler`.

It is a program of its own so that the hub's interpreter is not held up, does not fill with interned
names, and survives source that was written to crash a parser. Standard library only, no imports of
Headland: it may run under another Python.

Requests on stdin: a 4-byte length and the file name, a 4-byte length and the source. Answers on
stdout: one byte (0 bytecode, 1 no bytecode), a 4-byte length and the bytes: a .pyc, or why not.
"""

import importlib.util
import marshal
import resource
import struct
import sys
import warnings

MEMORY_BYTES = 2 << 30
UNCHECKED_HASH = 1  # PEP 552: valid for this source, never compared with it again


def pyc(name: str, source: bytes) -> bytes:
    """Return the bytes of an unchecked-hash .pyc."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    # Version 2 writes no references and no interning, which depend on who else holds an object.
    body = marshal.dumps(code, 2)
    head = importlib.util.MAGIC_NUMBER + struct.pack("<I", UNCHECKED_HASH)
    return head + importlib.util.source_hash(source) + body


def answer(name: str, source: bytes) -> tuple[int, bytes]:
    """Return the kind of an answer and its bytes."""
    try:
        return 0, pyc(name, source)
    except SyntaxError as error:
        return 1, f"line {error.lineno}: {error.msg}".encode(errors="replace")
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return 1, type(error).__name__.encode()


def main() -> None:
    """Answer requests until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := requests.read(4):
        name = requests.read(struct.unpack("<I", head)[0]).decode()
        source = requests.read(struct.unpack("<I", requests.read(4))[0])
        kind, body = answer(name, source)
        answers.write(struct.pack("<BI", kind, len(body)) + body)
        answers.flush()


if __name__ == "__main__":
    main()
