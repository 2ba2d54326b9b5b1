"""Runs pip for a Python that is not the one that runs it; started by `pip_run`, by path.

The first argument is JSON, the rest is pip's. ``markers``: ``pip --platform`` chooses wheels for another
machine, but judges markers (``platform_machine == "aarch64"``) by the running one; here they are judged by
this environment of the target. ``sources``: a folder; pip may then choose source archives too, but
executes nothing of one: the first that it wants is put there with `TOLD`, and the exit code is
`FOUND`. In no case does this pip start another program, which a build step is; it would where a wheel
depends on an address, whatever ``--only-binary`` says. Standard library and pip only.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

FOUND = 42
TOLD = "found.json"
STRANGE = 3
KEYRING = "keyring"
# What Python tells before it starts another program.
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")


def main() -> int:
    """Run pip; its exit code is returned."""
    asked = json.loads(sys.argv[1])
    refuse_programs()
    if asked["markers"]:
        judge_by(asked["markers"])
    if asked["sources"]:
        stop_at_sources(Path(asked["sources"]))
    from pip._internal.cli.main import main as pip  # noqa: PLC0415  after the markers are in place

    code = int(pip(sys.argv[2:]))
    # Some pips turn every exit on their way into an error of their own.
    return FOUND if asked["sources"] and Path(asked["sources"], TOLD).exists() else code


def judge_by(markers: dict[str, str]) -> None:
    """Judge markers by another environment."""
    from pip._vendor.packaging import markers as judged  # noqa: PLC0415  not needed without markers

    # A pip that judges them elsewhere must not go on and choose for the wrong machine.
    must_have(judged, "default_environment", "judges markers")
    real = judged.default_environment

    def environment() -> Any:  # noqa: ANN401  a TypedDict of pip's own
        return {**real(), **markers}

    judged.default_environment = environment


def refuse_programs() -> None:
    """Let this process start no other, but a keyring for passwords: no package's build step runs."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STARTS and not (event == STARTS[0] and Path(str(arguments[0])).name == KEYRING):
            raise PermissionError(1, "this pip may not start programs")

    sys.addaudithook(refuse)


def stop_at_sources(folder: Path) -> None:
    """Let pip stop at the first source archive, when it has been fetched and before it is unpacked."""
    from pip._internal import cache  # noqa: PLC0415  as above
    from pip._internal.cli import cmdoptions  # noqa: PLC0415
    from pip._internal.exceptions import InstallationError  # noqa: PLC0415
    from pip._internal.operations import prepare  # noqa: PLC0415

    preparer = prepare.RequirementPreparer
    must_have(preparer, "_prepare_linked_requirement", "prepares packages")
    must_have(preparer, "_fetch_metadata_only", "reads metadata")
    must_have(prepare, "unpack_file", "unpacks packages")
    must_have(cache.WheelCache, "get_cache_entry", "keeps wheels")
    must_have(cmdoptions, "check_dist_restriction", "restricts platforms")
    current: list[Any] = []
    fully, metadata = preparer._prepare_linked_requirement, preparer._fetch_metadata_only

    def prepared(self: Any, req: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401  pip's own types
        current[:] = [req]
        return fully(self, req, *rest, **named)

    def only_of_wheels(self: Any, req: Any) -> Any:  # noqa: ANN401
        return metadata(self, req) if req.link.is_wheel else None

    def found(filename: str, *_: object, **__: object) -> None:
        (req,) = current
        if req.original_link is not None:
            raise InstallationError(f"{req.name} is asked for by an address; packages come from the index")
        told = {"name": req.name or "", "filename": req.link.filename}
        with Path(filename).open("rb") as stream:
            told["digest"] = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        shutil.copyfile(filename, folder / "archive")
        (folder / TOLD).write_text(json.dumps(told))
        sys.exit(FOUND)

    preparer._prepare_linked_requirement = prepared  # type: ignore[method-assign]
    preparer._fetch_metadata_only = only_of_wheels  # type: ignore[method-assign]
    prepare.unpack_file = found  # type: ignore[attr-defined]
    # Wheels that pip built itself at another time, outside of any sandbox.
    cache.WheelCache.get_cache_entry = lambda *_, **__: None  # type: ignore[method-assign]
    # pip takes no source archive for another machine; here it is the built wheel that is checked.
    cmdoptions.check_dist_restriction = lambda *_, **__: None


def must_have(where: object, name: str, does: str) -> None:
    """End with an error if a part of pip is not where it is looked for."""
    if not callable(getattr(where, name, None)):
        sys.stderr.write(f"ERROR: this pip {does} in an unknown way\n")
        sys.exit(STRANGE)


if __name__ == "__main__":
    sys.exit(main())
