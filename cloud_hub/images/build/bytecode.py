"""Compiled modules (.pyc) beside the sources of a layer, so that Python starts fast in the image."""

import io
import os
import posixpath
import select
import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Final

from cloud_hub.images.build.errors import BuildError
from cloud_hub.images.build.layer_tar import Content, Entry, File

WORKER: Final = Path(__file__).with_name("bytecode_worker.py")


class Compiler:
    """Compiles source in one child process of a Python; a context manager.

    ``identity`` is all that the bytecode depends on beside the source; empty where none is kept. The
    bytecode is the same in every process, whatever its hash seed: see `bytecode_worker`.
    """

    def __init__(
        self,
        command: Callable[[], Sequence[str]],
        *,
        cache_tag: str,
        build: str = "",
        kept: bool = True,
        timeout_s: float = 60.0,
    ) -> None:
        """``command()`` starts the Python; ``build`` says which it is. Without ``kept`` it only checks."""
        self._command, self._timeout_s, self._kept = command, timeout_s, kept
        self.cache_tag = cache_tag
        self.identity: tuple[str, ...] = (cache_tag, build) if kept else ()
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Compiler":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def compile(self, name: str, source: bytes) -> tuple[bytes | None, str]:
        """Return the .pyc of ``source`` as the file ``name``, or None and why there is none.

        Raises `BuildError` if the child dies or takes longer than the time limit.
        """
        worker = self._worker = self._worker or self._start()
        encoded = name.encode()
        deadline = time.monotonic() + self._timeout_s
        try:
            _send(worker, struct.pack("<I", len(encoded)) + encoded)
            _send(worker, struct.pack("<I", len(source)) + source)
            kind, size = struct.unpack("<BI", _read(worker, 5, deadline))
            body = _read(worker, size, deadline)
        except (OSError, EOFError) as error:
            self._stop()
            raise BuildError("Python could not compile the file", where=name) from error
        return (body, "") if kind == 0 else (None, body.decode(errors="replace"))

    def beside(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return ``entries`` and, for each .py among them, the .pyc that Python looks for.

        Test suites inside packages get none: nothing imports them on a device, and numpy's alone is 12 MB.
        """
        found = list(entries)
        if not self._kept:
            return found
        return found + [
            File(self._path_of(entry.path), self._content(entry))
            for entry in found
            if isinstance(entry, File) and entry.path.endswith(".py") and "/tests/" not in entry.path
        ]

    def _path_of(self, source: str) -> str:
        folder, name = posixpath.split(source)
        return f"{folder}/__pycache__/{name.removesuffix('.py')}.{self.cache_tag}.pyc"

    def _content(self, entry: File) -> Content:
        def content() -> tuple[BinaryIO, int] | None:
            opened = entry.content()
            if opened is None:
                return None
            with opened[0] as stream:
                compiled, _ = self.compile(entry.path, stream.read())
            return None if compiled is None else (io.BytesIO(compiled), len(compiled))

        return content

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._command(), "-I", "-S", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def _stop(self) -> None:
        if self._worker is None:
            return
        self._worker.kill()
        with self._worker:
            self._worker = None


def _pipe(stream: IO[bytes] | None) -> int:
    if stream is None:
        raise EOFError
    return stream.fileno()


def _send(worker: subprocess.Popen[bytes], data: bytes) -> None:
    # No time limit here: the worker does nothing but read until it has the whole request.
    view = memoryview(data)
    while view:
        view = view[os.write(_pipe(worker.stdin), view) :]


def _read(worker: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    # poll, not select: a hub may hold more than the 1,024 descriptors that select can name.
    waiter = select.poll()
    waiter.register(_pipe(worker.stdout), select.POLLIN)
    data = bytearray()
    while len(data) < size:
        if not waiter.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        chunk = os.read(_pipe(worker.stdout), size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)
