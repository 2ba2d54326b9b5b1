"""Reads the logs of one module: its living containers', and the last words of the one before them."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.settings import Settings

READ_BYTES = 8 * 1024 * 1024  # of one part; only one that grew while no agent ran is larger
LINE_BYTES = 64 * 1024
REMEMBERED_BYTES = 512
NO_PART = (0, 0)


class _Numbered(msgspec.Struct, frozen=True):
    """Of a container's record: its number; 0 in one of an older agent, whose order is that of times."""

    number: int = 0


@dataclass(frozen=True)
class Line:
    """One line, and the container that printed it; ``-`` for one that is gone."""

    container: str
    text: str


def printable(line: bytes) -> str:
    """Return a line as text without control characters: what a module prints must not steer a terminal."""
    text = line.decode(errors="replace")
    return "".join(c if c == "\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def containers_of(settings: Settings, module: str) -> list[Path]:
    """Return the homes of a module's containers, in the order of their starts."""
    found: list[tuple[int, float, Path]] = []
    for path in (settings.state_dir / "containers").glob(f"{module}-{'[0-9a-f]' * 8}/record.json"):
        with contextlib.suppress(FileNotFoundError):  # it was removed just now
            number = msgspec.json.decode(path.read_bytes(), type=_Numbered).number
            found.append((number, path.stat().st_mtime, path.parent))
    return [home for _, _, home in sorted(found)]


def kept_log(settings: Settings, module: str) -> Path:
    """Return where the last words of a module's container that is gone are."""
    return settings.state_dir / "logs" / f"{module}.log"


def modules_with_logs(settings: Settings) -> list[str]:
    """Return the modules of which there is a log."""
    kept = {path.stem for path in (settings.state_dir / "logs").glob("*.log")}
    homes = (settings.state_dir / "containers").glob("*/record.json")
    return sorted(kept | {path.parent.name.rpartition("-")[0] for path in homes})


def last_lines(settings: Settings, module: str, most: int, ends: Mapping[Path, int]) -> list[Line]:
    """Return the last ``most`` lines of a module, of containers in the order of their starts.

    ``ends``: where to stop reading in the logs of these homes, because somebody follows from there.
    """
    parts: list[tuple[str, Path, int | None]] = [("-", kept_log(settings, module), None)]
    for home in containers_of(settings, module):
        older = sorted(home.glob("log.[0-9]*"), key=lambda part: -int(part.name.rpartition(".")[2]))
        parts += [(home.name, part, None) for part in older]
        parts.append((home.name, home / "log", ends.get(home)))
    found: list[Line] = []
    for container, part, end in reversed(parts):
        missing = most - len(found)
        if missing <= 0:
            break
        found = [Line(container, printable(line)) for line in _lines(part, end)[-missing:]] + found
    return found


def _lines(part: Path, end: int | None) -> list[bytes]:
    try:
        with part.open("rb") as file:
            until = os.fstat(file.fileno()).st_size if end is None else end
            begin = max(0, until - READ_BYTES)
            file.seek(begin)
            return file.read(until - begin).splitlines()
    except FileNotFoundError:
        return []


class Follower:
    """Yields what the module's containers print from now on, across rotations and restarts."""

    def __init__(self, settings: Settings, module: str) -> None:
        self._settings = settings
        self._module = module
        self._files: dict[Path, _Followed] = {}
        self._open(from_start=False)

    def begins(self) -> dict[Path, int]:
        """Return by home from where on its log is followed."""
        return {home: followed.position for home, followed in self._files.items()}

    def new_lines(self) -> Iterator[Line]:
        """Yield the lines since the last call; call it now and then."""
        self._open(from_start=True)
        for home, followed in list(self._files.items()):
            gone = not home.exists()
            yield from (Line(home.name, printable(line)) for line in followed.new_lines(last=gone))
            if gone:
                followed.close()
                del self._files[home]

    def close(self) -> None:
        """Close the files."""
        for followed in self._files.values():
            followed.close()

    def _open(self, *, from_start: bool) -> None:
        for home in containers_of(self._settings, self._module):
            if home not in self._files:
                with contextlib.suppress(FileNotFoundError):
                    self._files[home] = _Followed(home / "log", from_start=from_start)


class _Followed:
    """One log that grows, and now and then is set aside and begins anew."""

    def __init__(self, path: Path, *, from_start: bool) -> None:
        self._part = path.with_name(f"{path.name}.1")
        self._file = path.open("rb", buffering=0)
        self._known_part = self._identity_of_part()
        self._doubted = False
        self._rest = b""
        self._recent = b""
        self.position = 0
        if not from_start:
            self._begin_at_last_line()

    def _begin_at_last_line(self) -> None:
        end = os.fstat(self._file.fileno()).st_size
        last = os.pread(self._file.fileno(), LINE_BYTES, max(0, end - LINE_BYTES))
        last = last[: last.rfind(b"\n") + 1]
        self.position = max(0, end - LINE_BYTES) + len(last)
        self._recent = last[-REMEMBERED_BYTES:]

    def new_lines(self, *, last: bool) -> list[bytes]:
        """Return the whole lines that are new; at the ``last`` time also one that has no end."""
        data = b""
        part, shorter = self._identity_of_part(), self._size() < self.position
        changed = part not in {self._known_part, NO_PART}
        if changed and not (shorter or self._doubted or last):
            # It was copied aside and is not emptied yet, or was and has grown since: the next look tells.
            self._doubted = True
            return []
        if shorter or (changed and self._doubted):
            data = self._set_aside() if changed else b""
            self._known_part, self._doubted, self.position = part, False, 0
        data += self._read()
        self._recent = (self._recent + data)[-REMEMBERED_BYTES:]
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (last or len(self._rest) > LINE_BYTES):
            lines, self._rest = [*lines, self._rest], b""
        return lines

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _read(self) -> bytes:
        data = b""
        while chunk := os.pread(self._file.fileno(), READ_BYTES, self.position):
            data += chunk
            self.position += len(chunk)
        return data

    def _set_aside(self) -> bytes:
        """Return what was printed between our last look and the rotation: it is in the newest part."""
        try:
            part = self._part.read_bytes()
        except FileNotFoundError:
            return b""
        found = part.rfind(self._recent) if self._recent else -1
        return part[found + len(self._recent) :] if found >= 0 else b""

    def _identity_of_part(self) -> tuple[int, int]:
        try:
            found = self._part.stat()
        except FileNotFoundError:
            return NO_PART
        return found.st_ino, found.st_mtime_ns
