"""The shape of the code: sizes, docstrings, words. Each guard has a planted breach."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ["contract", "agent", "cloud_hub", "modules", "simulators"]
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
GENERATED = "cloud_hub/db/migrations/versions"
FILES = {
    "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "pyproject.toml",
    "requirements.lock",
}  # fmt: skip


def files() -> list[Path]:
    """Return every Python file of the product."""
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if GENERATED not in path.as_posix()
    ]


def long_functions(source: str) -> list[str]:
    """Return the functions that are longer than allowed."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ]


def banned(path: Path) -> bool:
    """Does a file or folder have a name that says nothing?"""
    return bool(BANNED_NAMES & {part.removesuffix(".py") for part in path.parts})


def test_files_are_short() -> None:
    too_long = {
        str(p.relative_to(ROOT)): n
        for p in files()
        if (n := len(p.read_text().splitlines())) > MAX_FILE_LINES
    }
    assert not too_long


def test_functions_are_short() -> None:
    found = {f"{p.relative_to(ROOT)}: {name}" for p in files() for name in long_functions(p.read_text())}
    assert not found


def test_a_planted_long_function_is_found() -> None:
    body = "\n".join(f"    x = {i}" for i in range(MAX_FUNCTION_LINES))
    assert long_functions(f"def f():\n{body}\n") == ["f"]


def test_names_say_something() -> None:
    assert not [path for path in files() if banned(path.relative_to(ROOT))]
    assert banned(Path("agent/utils.py"))


def test_every_package_says_what_always_holds_in_it() -> None:
    silent = [
        p for p in files() if p.name == "__init__.py" and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert not silent


def test_the_top_level_is_fixed() -> None:
    allowed = {*PACKAGES, "tests", "benchmarks", "configs", "docs"}
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")}
    assert folders - allowed <= {"build", "headland.egg-info", "headland-data"}
    files = {p.name for p in ROOT.iterdir() if p.is_file() and not p.name.startswith(".")}
    assert files == FILES
