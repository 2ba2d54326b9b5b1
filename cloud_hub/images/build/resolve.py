"""Choosing wheels for requirements: pip resolves, and what it chose becomes a list pinned by hashes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cloud_hub.images.build.errors import RequirementsUnresolvedError
from cloud_hub.images.build.pip_run import Pip, reason_in
from cloud_hub.images.build.requirements import Wanted, logical_lines, without_hashes
from cloud_hub.images.build.sources.finding import Sources

WHEELS_ONLY: Final = (
    "Loosen a version, or allow source builds (--allow-source-builds): else only wheels are taken, and no "
    "package is built on the hub."
)


def resolved(
    wanted: Wanted,
    server: Sequence[str],
    server_lock: str,
    pip: Pip,
    folder: Path,
    sources: Sources | None = None,
) -> list[str]:
    """Return pinned lines, with hashes, of the wheels that satisfy ``wanted`` and the scoring server.

    ``server`` is what the scoring server needs; the versions of ``server_lock`` are kept where they
    fit. ``sources`` build what has no wheel, where wheels alone do not satisfy all. Works in
    ``folder``. Raises `RequirementsUnresolvedError`, `WheelDownloadError` and what ``sources`` raise.
    """
    wanted.check_python(pip.target)
    asked, kept, report = folder / "asked.txt", folder / "kept.txt", folder / "report.json"
    asked.write_text("\n".join((*wanted.lines, *server)) + "\n")
    own = wanted.names()
    pins = [without_hashes(line) for line in logical_lines(server_lock)]
    kept.write_text("\n".join(pin for pin in pins if pin.partition("==")[0] not in own) + "\n")
    arguments = ["--dry-run", "--ignore-installed", "--report", str(report), "-r", str(asked)]
    if not pip.target.native:
        arguments += ["--target", str(folder / "nowhere")]
    stderr = ""
    ways: list[Pip | Sources] = [pip] if sources is None else [pip, sources]
    for way in ways:
        for constraints in (["-c", str(kept)], []):
            code, stderr = way.run("install", [*arguments, *constraints])
            if code == 0:
                return pinned_lines(json.loads(report.read_bytes()))
    raise RequirementsUnresolvedError(
        f"no wheels for all of them, with those of the scoring server: {reason_in(stderr)}",
        where=f"requirements for {pip.target.platform}, Python {pip.target.python_version}",
        fix=WHEELS_ONLY if sources is None else "Loosen a version.",
    )


def pinned_lines(report: dict[str, Any]) -> list[str]:
    """Return ``name==version --hash=...`` of each wheel in pip's report (version 1), sorted."""
    lines = []
    for one in report["install"]:
        archive = one["download_info"]["archive_info"]
        digest = archive.get("hashes", {}).get("sha256") or archive["hash"].removeprefix("sha256=")
        name, version = one["metadata"]["name"], one["metadata"]["version"]
        lines.append(f"{name}=={version} --hash=sha256:{digest}")
    return sorted(lines, key=str.lower)
