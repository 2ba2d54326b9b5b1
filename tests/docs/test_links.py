"""Links within the project lead somewhere; commands of make exist."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, all_pages, broken_links


def unknown_targets(text: str) -> set[str]:
    """Return what is called as ``make ...`` in code and is no target of the Makefile."""
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    return set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE)) - known


@pytest.mark.parametrize("path", all_pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path, path.read_text()) == []


def test_planted_broken_links_are_found() -> None:
    text = "# A\n[x](gone.md) [y](#b) [z](hub.md#nowhere) [good](#a) [good](hub.md#settings) [out](https://x.y)\n"
    assert broken_links(PAGES / "planted.md", text) == ["gone.md", "#b", "hub.md#nowhere"]


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [path.name for path in sorted(PAGES.glob("*.md")) if f"(docs/{path.name})" not in readme] == []


def test_make_targets_exist() -> None:
    texts = [path.read_text() for path in all_pages()]
    assert any("make demo" in text for text in texts)
    assert set().union(*map(unknown_targets, texts)) == set()
    assert unknown_targets("`make nothing`") == {"nothing"}
