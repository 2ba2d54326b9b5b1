"""What a build needs, as wheels: chosen by pip, pinned by hash, fetched before the build."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from cloud_hub.images.build.errors import (
    RequirementsRefusedError,
    SourceBuildRefusedError,
    WheelDownloadError,
)
from cloud_hub.images.build.lock import LockedFile, LockedWheel, pins
from cloud_hub.images.build.pip_run import Pip, reason_in
from cloud_hub.images.build.ports import Wheel
from cloud_hub.images.build.requirements import read_requirements
from cloud_hub.images.build.wheel_cache import WheelCache

_FIX: Final = "Have a wheel of it in the index, or take another version."


class BuildRequirements:
    """Fetches them into the cache; ``pip`` is that of the running Python, which builds."""

    def __init__(self, cache: WheelCache, pip: Pip) -> None:
        self._cache, self._pip = cache, pip

    def chosen(self, asked: Sequence[str], of: str, folder: Path) -> tuple[Wheel, ...]:
        """Return wheels for what the source ``of`` a package asks for; raises `SourceBuildRefusedError`."""
        if not asked:
            return ()
        try:
            wanted = read_requirements("requirements", "\n".join(asked).encode())
        except RequirementsRefusedError as error:
            raise SourceBuildRefusedError(
                f"what its build needs cannot be fetched: {error.what}", where=of, fix=_FIX
            ) from error
        lines, report = folder / "asked.txt", folder / "report.json"
        lines.write_text("\n".join(wanted.lines) + "\n")
        arguments = ["--dry-run", "--ignore-installed", "--report", str(report), "-r", str(lines)]
        code, stderr = self._pip.run("install", arguments)
        if code != 0:
            raise SourceBuildRefusedError(
                f"no wheels for all that its build needs: {reason_in(stderr)}", where=of, fix=_FIX
            )
        return self.fetched(_pinned(json.loads(report.read_bytes())["install"]), of, folder)

    def fetched(self, pinned: Sequence[LockedFile], of: str, folder: Path) -> tuple[Wheel, ...]:
        """Return pinned wheels, of the cache or fetched; raises `WheelDownloadError`."""
        if not pinned:
            return ()
        known = [
            LockedWheel(name=one.name, version=one.version, filename=one.filename, digest=one.digest)
            for one in pinned
        ]
        found = self._cache.whole(known)
        if found is None:
            lines, fresh = folder / "pinned.txt", folder / "fetched"
            lines.write_text(pins(pinned))
            arguments = ["--no-deps", "--require-hashes", "-r", str(lines), "-d", str(fresh)]
            code, stderr = self._pip.run("download", arguments)
            if code == 0:
                for path in sorted(fresh.glob("*.whl")):
                    self._cache.add(path)
                shutil.rmtree(fresh)
                found = self._cache.whole(known)
            if found is None:
                raise WheelDownloadError(
                    f"what its build needs could not be downloaded: {reason_in(stderr)}",
                    where=of,
                    fix="Look at the network and pip's configuration, then build again.",
                )
        return found


def _pinned(report: Sequence[dict[str, Any]]) -> list[LockedFile]:
    """Return the wheels in pip's report (version 1), sorted."""
    found = []
    for one in report:
        archive, metadata = one["download_info"]["archive_info"], one["metadata"]
        digest = archive.get("hashes", {}).get("sha256") or archive["hash"].removeprefix("sha256=")
        filename = unquote(urlsplit(one["download_info"]["url"]).path.rpartition("/")[2])
        found.append(
            LockedFile(
                name=metadata["name"],
                version=metadata["version"],
                filename=filename,
                digest=f"sha256:{digest}",
            )
        )
    return sorted(found, key=lambda one: one.filename)
