"""Builds a wheel of a source archive (PEP 517), in a sandbox; started by `build`, by path.

The argument is JSON, the answer on stdout a line of JSON. ``{"verb": "requirements"}`` answers
``{"requirements": [...]}``, what the archive says that its build needs; nothing of it is executed.
``{"verb": "wheel", "known": [...]}`` builds with the wheels in ``/headland/inputs/wheels``; it answers
``{"more": [...]}`` where the build needs other things than those in ``known`` (null: never), else
``{"filename": ...}`` and the wheel's bytes behind the line. Standard library and pip only.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

WORK = Path("/headland/work")
INPUTS = Path("/headland/inputs")
PIP = "/headland/pip"
LEGACY = ("setuptools.build_meta:__legacy__", ["setuptools>=40.8.0"])
PYTHON = WORK / "env" / "bin" / "python"


def main() -> int:
    """Do what is asked."""
    if sys.argv[1] == "hook":
        return call_hook(json.loads(sys.argv[2]))
    asked = json.loads(sys.argv[1])
    # The answer has a stream of its own: what others print is the build's output.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    backend, requirements = read_project(unpack(INPUTS / "archive"))
    if asked["verb"] == "requirements":
        answer(answers, {"requirements": requirements})
        return 0
    install()
    more = [str(one) for one in hook("get_requires_for_build_wheel", backend) or []]
    if asked["known"] is not None and not set(more) <= set(asked["known"]):
        answer(answers, {"more": more})
        return 0
    (WORK / "wheel").mkdir()
    filename = str(hook("build_wheel", backend, str(WORK / "wheel")))
    answer(answers, {"filename": filename})
    with (WORK / "wheel" / filename).open("rb") as stream:
        shutil.copyfileobj(stream, answers)
    answers.flush()
    return 0


def answer(answers: Any, told: dict[str, Any]) -> None:  # noqa: ANN401  a binary stream
    """Write the line of an answer."""
    answers.write(json.dumps(told).encode() + b"\n")
    answers.flush()


def unpack(archive: Path) -> Path:
    """Unpack the archive; return the one folder in it."""
    target = WORK / "source"
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(target)  # noqa: S202  in a sandbox
    else:
        with tarfile.open(archive) as tar:
            # All that could be harmed here is this sandbox's own memory.
            tar.extraction_filter = getattr(tarfile, "tar_filter", lambda member, _: member)
            tar.extractall(target)  # noqa: S202
    folders = list(target.iterdir())
    if len(folders) != 1 or not folders[0].is_dir():
        sys.exit("the archive does not hold one folder")
    return folders[0]


def read_project(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the build backend, as `call_hook` takes it, and what the project says that it needs."""
    told: dict[str, Any] = {}
    if (folder / "pyproject.toml").is_file():
        told = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("build-system", {})
    legacy, needs = LEGACY
    backend = {
        "folder": str(folder),
        "backend": told.get("build-backend", legacy),
        "path": told.get("backend-path", []),
    }
    return backend, [str(one) for one in told.get("requires", needs)]


def install() -> None:
    """Make an environment with what the build needs, and nothing else."""
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", str(WORK / "env")], check=True)
    wheels = sorted(str(path) for path in (INPUTS / "wheels").glob("*.whl"))
    if wheels:
        quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--no-compile"]
        subprocess.run(
            [str(PYTHON), "-m", "pip", "install", *quiet, "--no-index", "--no-deps", *wheels],
            check=True,
            env={**os.environ, "PYTHONPATH": PIP},
        )


def hook(name: str, backend: dict[str, Any], *arguments: str) -> Any:  # noqa: ANN401  JSON
    """Call a hook of the backend in the environment, as a program of its own."""
    result = WORK / "result.json"
    asked = {**backend, "hook": name, "arguments": arguments, "result": str(result)}
    subprocess.run(
        [str(PYTHON), "-P", __file__, "hook", json.dumps(asked)], check=True, cwd=backend["folder"]
    )
    return json.loads(result.read_bytes())


def call_hook(asked: dict[str, Any]) -> int:
    """Call one hook and write down what it returns."""
    sys.path[:0] = [str(Path(asked["folder"], one)) for one in asked["path"]]
    module, _, inside = asked["backend"].partition(":")
    found: Any = importlib.import_module(module)
    for name in filter(None, inside.split(".")):
        found = getattr(found, name)
    does = getattr(found, asked["hook"], None)
    told = does(*asked["arguments"]) if does is not None else None
    Path(asked["result"]).write_text(json.dumps(told))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        # What failed has said why.
        sys.exit(error.returncode if error.returncode > 0 else 1)
