"""Choosing wheels for requirements: pip resolves, and what it chose becomes a list pinned by hashes."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloud_hub.images.build.errors import RequirementsUnresolvedError, WheelDownloadError
from cloud_hub.images.build.pip_run import pip_command, reason_in, run_to_end
from cloud_hub.images.build.requirements import Wanted, logical_lines, without_hashes
from cloud_hub.images.build.target import Target


def resolved(
    wanted: Wanted,
    server: Sequence[str],
    server_lock: str,
    target: Target,
    folder: Path,
    *,
    timeout_s: float,
    cancelled: Callable[[], bool],
) -> list[str]:
    """Return pinned lines, with hashes, of the wheels that satisfy ``wanted`` and the scoring server.

    ``server`` is what the scoring server needs; the versions of ``server_lock`` are kept where they
    fit. Works in ``folder``. Raises `RequirementsUnresolvedError` and `WheelDownloadError`.
    """
    wanted.check_python(target)
    asked, kept, report = folder / "asked.txt", folder / "kept.txt", folder / "report.json"
    asked.write_text("\n".join((*wanted.lines, *server)) + "\n")
    own = wanted.names()
    pins = [without_hashes(line) for line in logical_lines(server_lock)]
    kept.write_text("\n".join(pin for pin in pins if pin.partition("==")[0] not in own) + "\n")
    arguments = ["--dry-run", "--ignore-installed", "--report", str(report), "-r", str(asked)]
    if not target.native:
        arguments += ["--target", str(folder / "nowhere")]
    stderr = ""
    for constraints in (["-c", str(kept)], []):
        command = pip_command("install", target, [*arguments, *constraints])
        try:
            code, stderr = run_to_end(command, timeout_s=timeout_s, cancelled=cancelled)
        except (OSError, subprocess.SubprocessError) as error:
            raise WheelDownloadError(
                f"pip did not finish within {timeout_s:.0f} s",
                where="requirements",
                fix="Look at the network and pip's configuration, then build again.",
            ) from error
        if code == 0:
            return pinned_lines(json.loads(report.read_bytes()))
    raise RequirementsUnresolvedError(
        f"no wheels for all of them, with those of the scoring server: {reason_in(stderr)}",
        where=f"requirements for {target.platform}, Python {target.python_version}",
        fix="Loosen a version. Only wheels are taken: no package is built on the hub.",
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
