"""docs/errors.md has every error code, and none that does not exist."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from http import HTTPStatus

from contract.errors import HeadlandError
from tests.docs.pages import ROOT, page, tables

PACKAGES = ("contract", "agent", "cloud_hub", "modules", "simulators")
# Functions whose argument at this position is the code of an error that has no class.
LITERALS = {"Refused": 0, "Denial": 0, "_problem": 1, "_answer": 1}
# What Starlette says by itself of a path or method that is not there.
OF_HTTP = {
    status.phrase.lower().replace(" ", "-")
    for status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
}


def classes() -> dict[str, bool]:
    """Return code and ``retriable`` of every error class; one whose code is the hub's has none of its own."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith("__main__") and ".migrations" not in module.name:
                importlib.import_module(module.name)
    found: list[type[HeadlandError]] = [HeadlandError, *_below(HeadlandError)]
    return {kind.code: kind.retriable for kind in found if isinstance(kind.code, str) and _ours(kind)}


def _below(kind: type[HeadlandError]) -> Iterator[type[HeadlandError]]:
    for sub in kind.__subclasses__():
        yield sub
        yield from _below(sub)


def _ours(kind: type) -> bool:
    return kind.__module__.split(".")[0] in PACKAGES


def literal_codes(source: str) -> set[str]:
    """Return the codes that a module gives without a class: in calls, and in dicts with a key ``code``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            values = list(node.args[LITERALS[name] :][:1]) if name in LITERALS else []
        elif isinstance(node, ast.Dict):
            values = [
                value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == "code"
            ]
        found |= {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)}
    return found


def all_codes() -> set[str]:
    """Return every code that a person or a program may meet."""
    sources = [path.read_text() for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    constants = {"already-held"}  # acceptance's one code with a name of its own, which a test below checks
    return set(classes()) | set().union(*map(literal_codes, sources)) | OF_HTTP | constants


def documented(text: str) -> dict[str, set[str]]:
    """Return each code in the tables, with what their column "again" says."""
    found: dict[str, set[str]] = {}
    for head, rows in tables(text):
        assert head == ["code", "again", "means", "do"]
        for row in rows:
            assert len(row) == 4, row
            assert row[2], row
            assert row[3], row
            found.setdefault(row[0].strip("`"), set()).add(row[1])
    return found


def differences(text: str) -> tuple[set[str], set[str]]:
    """Return the codes that the page lacks, and those that it has and the code has not."""
    codes, page_codes = all_codes(), set(documented(text))
    return codes - page_codes, page_codes - codes


def test_every_code_is_in_the_page_and_no_other() -> None:
    assert differences(page("errors.md")) == (set(), set())


def test_the_page_says_which_may_be_tried_again() -> None:
    told = documented(page("errors.md"))
    assert {code: told[code] for code in classes()} == {
        code: {"yes" if retriable else "no"} for code, retriable in classes().items()
    }


def test_planted_faults_of_the_page_are_found() -> None:
    text = page("errors.md")
    assert differences(text.replace("| `token-used` |", "| `token-spent` |")) == (
        {"token-used"},
        {"token-spent"},
    )
    assert differences(text.replace("| `bad-signature` |", "| `bad-sign` |"))[0] == {"bad-signature"}
    assert differences(text.replace("| `interrupted` |", "| `no` |"))[0] == {"interrupted"}


def test_a_planted_class_is_found() -> None:
    class PlantedError(HeadlandError):
        code = "planted"

    assert not _ours(PlantedError)
    PlantedError.__module__ = "agent.planted"
    try:
        assert differences(page("errors.md"))[0] == {"planted"}
    finally:
        PlantedError.__module__ = __name__


def test_codes_without_a_class_are_found() -> None:
    calls = 'Refused("a-b", "words")\nself._problem(404, "c", "words")\ng("h", "i")\n'
    source = calls + 'x = {"code": "d", "e": "f"}\n'
    assert literal_codes(source) == {"a-b", "c", "d"}


def test_the_acceptance_rule_has_a_code_of_a_constant() -> None:
    from agent.trust.acceptance import ALREADY_HELD

    assert ALREADY_HELD == "already-held"
