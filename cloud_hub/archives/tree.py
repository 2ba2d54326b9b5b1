"""What has come out of an archive so far, and whether the next entry may. Pure."""

from dataclasses import dataclass, field

from cloud_hub.archives.errors import ArchiveRefusedError
from cloud_hub.archives.limits import ArchiveLimits
from cloud_hub.archives.names import Parts, folded, parts_of


@dataclass
class Tree:
    """Entries and bytes of one archive of ``archive_bytes`` bytes."""

    limits: ArchiveLimits
    archive_bytes: int
    entries: int = 0
    files: int = 0
    file_bytes: int = 0
    expanded_bytes: int = 0
    _spelled: dict[Parts, Parts] = field(default_factory=dict)
    _files: set[Parts] = field(default_factory=set)
    _folders: set[Parts] = field(default_factory=set)

    def add(self, name: str, *, is_folder: bool, size_bytes: int) -> Parts:
        """Take in an entry by what its header claims; return its parts, empty for the root."""
        self.count()
        parts = parts_of(name, self.limits)
        if not parts and is_folder:
            return parts
        if not parts:
            raise ArchiveRefusedError("no-name", "a file has no name")
        for end in range(1, len(parts) + 1):
            self._spell(parts[:end], is_folder or end < len(parts))
        if is_folder:
            return parts
        self._files.add(parts)
        self.files += 1
        if size_bytes > self.limits.max_file_bytes:
            raise ArchiveRefusedError("large-file", f"a file may have {self.limits.max_file_bytes} bytes")
        self.file_bytes += size_bytes
        if self.file_bytes > self.limits.max_total_bytes:
            raise ArchiveRefusedError("large", f"all files may have {self.limits.max_total_bytes} bytes")
        # By what headers claim, before any of it is written: who claims less is caught as it expands.
        self._judge_ratio(self.file_bytes)
        return parts

    def count(self) -> None:
        """Count an entry or a header that is none."""
        self.entries += 1
        if self.entries > self.limits.max_entries:
            raise ArchiveRefusedError("many-entries", f"more than {self.limits.max_entries} entries")

    def expand(self, size_bytes: int) -> None:
        """Count bytes that came out of decompression."""
        self.expanded_bytes += size_bytes
        self._judge_ratio(self.expanded_bytes)
        # Headers and padding of a tar are more than its files; not more than twice, and 1 MiB.
        if self.expanded_bytes > 2 * self.limits.max_total_bytes + 1024**2:
            raise ArchiveRefusedError("large", f"all files may have {self.limits.max_total_bytes} bytes")

    def _judge_ratio(self, size_bytes: int) -> None:
        if size_bytes > max(self.limits.ratio_from_bytes, self.limits.max_ratio * self.archive_bytes):
            raise ArchiveRefusedError("bomb", f"it expands more than {self.limits.max_ratio} times")

    def _spell(self, parts: Parts, is_folder: bool) -> None:
        if parts in self._files:
            rule = "file-as-folder" if is_folder else "twice"
            raise ArchiveRefusedError(rule, "two entries have one name")
        known = self._spelled.setdefault(folded(parts), parts)
        if known != parts:
            raise ArchiveRefusedError("case-clash", "two names differ only in upper and lower case")
        if not is_folder and parts in self._folders:
            raise ArchiveRefusedError("file-as-folder", "two entries have one name")
        if is_folder:
            self._folders.add(parts)
