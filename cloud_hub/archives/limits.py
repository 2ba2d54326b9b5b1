"""What an archive may hold."""

from dataclasses import dataclass

from cloud_hub.confinement.limits import MIB, ChildLimits


@dataclass(frozen=True)
class ArchiveLimits:
    """Bounds on one archive.

    ``max_ratio`` is expanded bytes over the archive's own, and counts above ``ratio_from_bytes``
    expanded bytes: a small text may be compressed a thousandfold and harm nobody. Names are
    measured in bytes of UTF-8; ``max_depth`` counts the parts of a path. ``max_header_bytes`` is
    one extended header of a tar. ``leave_out_links`` is for archives whose links say nothing that their
    files do not say: a link in a tar is then passed over instead of refused, and never made.
    """

    max_entries: int = 20_000
    max_depth: int = 24
    max_part_bytes: int = 200
    max_path_bytes: int = 1024
    max_file_bytes: int = 2 * 1024 * MIB
    max_total_bytes: int = 8 * 1024 * MIB
    max_ratio: int = 200
    ratio_from_bytes: int = 16 * MIB
    max_header_bytes: int = 16 * 1024
    leave_out_links: bool = False
    # Resident memory cannot be more than the address space, so the figure holds by construction.
    memory_bytes: int = 64 * MIB
    cpu_s: int = 120
    wall_s: float = 300.0

    def of_child(self) -> ChildLimits:
        """Return the limits of the child that unpacks."""
        return ChildLimits(
            memory_bytes=self.memory_bytes,
            cpu_s=self.cpu_s,
            wall_s=self.wall_s,
            file_bytes=self.max_file_bytes,
            open_files=16,
            answer_bytes=64 * 1024,
        )
