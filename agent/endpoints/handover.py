"""Hands listening sockets to a container that cannot inherit them, over a Unix socket in a folder of its own.

Whoever connects gets, in one message, the names of the sockets between colons and their descriptors in that
order (SCM_RIGHTS, unix(7)), as often as it asks. Who can reach the folder may have them: only the container.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

ANSWER_S = 5.0


class Handover:
    """Serves ``folder/socket`` until closed, with copies of ``descriptors``, which have names."""

    def __init__(self, folder: Path, descriptors: Mapping[str, int]) -> None:
        self._names = ":".join(descriptors).encode()
        self._held = [os.dup(descriptor) for descriptor in descriptors.values()]
        self._door = _listen(folder)
        self._thread = threading.Thread(target=self._serve, name="handover", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more, and hold the sockets no more."""
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._door.close()
        for descriptor in self._held:
            os.close(descriptor)
        self._held = []

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._door.accept()
            except OSError:  # it was closed
                return
            with line, contextlib.suppress(OSError):
                line.settimeout(ANSWER_S)
                socket.send_fds(line, [self._names], self._held)


def _listen(folder: Path) -> socket.socket:
    """Listen on ``folder/socket``, however long the path is."""
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    door = socket.socket(socket.AF_UNIX)
    try:
        door.bind(f"/proc/self/fd/{place}/socket")
        (folder / "socket").chmod(0o666)
        door.listen(4)
    except OSError:
        door.close()
        raise
    finally:
        os.close(place)
    return door
