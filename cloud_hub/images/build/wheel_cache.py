"""Wheels that are kept by their digest, and lists of them, so that later builds need no network."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cloud_hub.images.build.layer_tar import digest_of
from cloud_hub.images.build.lock import LockedSource, LockedWheel, locked_wheels
from cloud_hub.images.build.ports import Source, Wheel
from contract.digests import hex_of, sha256
from contract.encoding import canonical, decode
from contract.errors import ContractError
from contract.ids import DIGEST


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A wheel of a list, and what it was built from where it was."""

    filename: str
    digest: str
    source: LockedSource | None = None


class WheelCache:
    """A folder with each wheel under its SHA-256, and lists under that of what they are for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, digest: str) -> Path:
        """Return where a wheel is, or would be."""
        return self.folder / f"{hex_of(digest)}.whl"

    def whole(self, known: Iterable[Kept | LockedWheel]) -> tuple[Wheel, ...] | None:
        """Return the wheels if all are there and undamaged, else None; None for no wheels too."""
        wheels = []
        for kept in known:
            path = self.path_of(kept.digest)
            if not path.is_file() or digest_of(path) != kept.digest:
                return None
            wheels.append(Wheel(kept.filename, path, kept.digest, self._source(kept.source)))
        return tuple(wheels) or None

    def listed(self, about: Any) -> list[Kept] | None:  # noqa: ANN401  JSON
        """Return the list that was kept for something, a JSON value; its wheels may be gone."""
        try:
            known = decode(self._listing(about).read_bytes(), list[Kept], what="list of wheels")
        except (FileNotFoundError, ContractError):
            return None
        return known if all(DIGEST.fullmatch(one.digest) for one in known) else None

    def add(self, path: Path, filename: str = "", source: Source | None = None) -> Wheel:
        """Take a wheel in, whose file is moved; it must lie below the cache's folder."""
        digest = digest_of(path)
        path.replace(self.path_of(digest))
        return Wheel(filename or path.name, self.path_of(digest), digest, source)

    def keep_list(self, about: Any, wheels: Sequence[Wheel], folder: Path) -> None:  # noqa: ANN401  JSON
        """Keep a list for something; ``folder`` is one to work in, below the cache's."""
        kept = [
            Kept(one.filename, wheel.digest, one.source)
            for wheel in wheels
            for one in locked_wheels((wheel,))
        ]
        fresh = folder / "list.json"
        fresh.write_bytes(canonical(kept))
        fresh.replace(self._listing(about))

    def _listing(self, about: Any) -> Path:  # noqa: ANN401  JSON
        return self.folder / f"{hex_of(sha256(canonical(about)))}.json"

    def _source(self, source: LockedSource | None) -> Source | None:
        if source is None:
            return None
        requirements = tuple(
            Wheel(one.filename, self.path_of(one.digest), one.digest) for one in source.requirements
        )
        return Source(source.filename, source.digest, requirements)
