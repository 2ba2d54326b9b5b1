"""The Python dependencies that a person asks for, read from what people have; pure."""

import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from cloud_hub.errors import ManifestError
from cloud_hub.images.build.errors import RequirementsRefusedError
from cloud_hub.images.build.target import Target
from cloud_hub.rollouts.yaml_source import read_yaml

RequirementsKind = Literal["requirements", "pyproject", "conda"]
LIMIT_BYTES: Final = 1 << 20
_HASH: Final = re.compile(r"\s--hash[=\s]+(sha256:[0-9a-f]{64})(?=\s|$)")
_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_CONDA: Final = re.compile(r"([A-Za-z0-9._-]+)\s*(.*)")
_IGNORED: Final = {"name", "channels", "prefix", "dependencies"}


@dataclass(frozen=True)
class Wanted:
    """What is asked for: requirements one a line, whether all are pinned by hashes, and for which Python.

    ``lines`` of a locked list still have their ``--hash``.
    """

    lines: tuple[str, ...]
    locked: bool = False
    python: str = ""

    def names(self) -> set[str]:
        """Return the normalised names."""
        return {name_of(line) for line in self.lines}

    def check_python(self, target: Target) -> None:
        """Raise `RequirementsRefusedError` if it is not for the Python of a target."""
        if self.python and not SpecifierSet(self.python).contains(
            target.python_full_version, prereleases=True
        ):
            raise RequirementsRefusedError(
                f"they are for Python {self.python}, the image has {target.python_full_version}",
                where="Python version",
                fix="Widen the version, or choose a base that has such a Python.",
            )


def read_requirements(kind: RequirementsKind, data: bytes) -> Wanted:
    """Read a file; raises `RequirementsRefusedError`, which names what an image cannot have."""
    if kind not in get_args(RequirementsKind):
        raise _refused("not a kind of requirements", kind, "Choose requirements, pyproject or conda.")
    if len(data) > LIMIT_BYTES:
        raise _refused(f"it is larger than {LIMIT_BYTES} bytes", kind, "Is it the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused("it is not UTF-8 text", kind, "Save it as UTF-8.") from error
    match kind:
        case "requirements":
            return _wanted(logical_lines(text))
        case "pyproject":
            return _from_pyproject(text)
        case "conda":
            return _from_conda(text)


def logical_lines(text: str) -> list[str]:
    """Return the lines of a requirements file, continued ones joined, without comments."""
    joined = text.replace("\r\n", "\n").replace("\\\n", " ")
    found = (_COMMENT.sub("", line).strip() for line in joined.split("\n"))
    return [" ".join(line.split()) for line in found if line]


def name_of(line: str) -> str:
    """Return the normalised name in a line that was read before."""
    return canonicalize_name(Requirement(_HASH.sub("", f"{line} ").strip()).name)


def without_hashes(line: str) -> str:
    """Return a line without its hashes."""
    return _HASH.sub("", f"{line} ").strip()


def _wanted(lines: list[str], python: str = "") -> Wanted:
    pinned = 0
    for line in lines:
        plain = without_hashes(line)
        if plain.startswith("-") or " --" in plain:
            raise _refused(
                "options are not taken: the hub's own pip configuration says where packages come from",
                line[:80],
                "Remove the line; write the packages of other files into this one.",
            )
        try:
            found = Requirement(plain)
        except InvalidRequirement as error:
            raise _refused("not a requirement of a package", line[:80], "Write such as numpy>=2.") from error
        if found.url is not None:
            raise _refused(
                "packages come from the package index, not from an address", line[:80], "Name its version."
            )
        pinned += plain != line
    if pinned not in {0, len(lines)}:
        raise _refused("some lines have hashes and some have none", "--hash", "Give hashes to all, or none.")
    return Wanted(tuple(lines), locked=pinned > 0, python=python)


def _from_pyproject(text: str) -> Wanted:
    try:
        project = tomllib.loads(text).get("project")
    except tomllib.TOMLDecodeError as error:
        raise _refused(f"not TOML: {error}", "pyproject.toml", "Correct that line.") from error
    if not isinstance(project, dict) or "dependencies" in project.get("dynamic", []):
        raise _refused(
            "it does not list its dependencies",
            "project.dependencies",
            "Write them into [project], or give --requirements.",
        )
    lines, python = project.get("dependencies", []), project.get("requires-python", "")
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise _refused("it must be a list of texts", "project.dependencies", "See PEP 621.")
    return _wanted([" ".join(line.split()) for line in lines], _range(python, "project.requires-python"))


def _from_conda(text: str) -> Wanted:
    try:
        document: Any = read_yaml(text).value
    except ManifestError as error:
        raise _refused(error.what, "conda file", error.fix) from error
    if not isinstance(document, dict) or not isinstance(document.get("dependencies"), list):
        raise _refused("it has no list of dependencies", "dependencies", "Is it a conda environment file?")
    if odd := sorted(str(key) for key in document.keys() - _IGNORED):
        raise _refused("an image cannot have it", ", ".join(odd), "Remove it.")
    lines, python = list[str](), ""
    for entry in document["dependencies"]:
        if isinstance(entry, dict) and list(entry) == ["pip"] and isinstance(entry["pip"], list):
            lines += [" ".join(str(line).split()) for line in entry["pip"]]
        elif (found := _CONDA.fullmatch(str(entry))) is None or found[1] not in {"python", "pip"}:
            raise _refused(
                "only packages of pip go into an image, and this is one of conda",
                str(entry)[:80],
                "Move it below `pip:` under the name that it has there, or remove it.",
            )
        elif found[1] == "python" and found[2]:
            python = _conda_range(found[2])
    return _wanted(lines, python)


def _conda_range(said: str) -> str:
    """Return conda's version as a Python specifier; of an exact one, major and minor count."""
    version = said.strip()
    if exact := re.fullmatch(r"={1,2}\s*(\d+(?:\.\d+)?)[^,|]*", version):
        return f"=={exact[1]}.*"
    if re.fullmatch(r"\d+(\.\d+)*", version):
        return f"=={'.'.join(version.split('.')[:2])}.*"
    return _range(version, "python")


def _range(said: object, where: str) -> str:
    try:
        return str(SpecifierSet(str(said)))
    except InvalidSpecifier as error:
        raise _refused("not a range of versions", where, "Write such as >=3.11.") from error


def _refused(what: str, where: str, fix: str) -> RequirementsRefusedError:
    return RequirementsRefusedError(what, where=where, fix=fix)
