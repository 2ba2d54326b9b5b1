"""Doubles that keep in memory what a base's taking in keeps."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.bases.pictures import digest_of


@dataclass
class MemoryBlobs:
    blobs: dict[str, bytes] = field(default_factory=dict)

    def exists(self, digest: str) -> bool:
        return digest in self.blobs

    def save_file(self, digest: str, path: Path) -> None:
        data = path.read_bytes()
        assert digest_of(data) == digest
        self.blobs[digest] = data


@dataclass
class MemoryFindings:
    kept: dict[str, bytes] = field(default_factory=dict)

    def recall(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def keep(self, key: str, found: bytes) -> None:
        self.kept[key] = found
