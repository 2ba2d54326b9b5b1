"""The documentation as data: pages, tables, marked code blocks, links."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def page(name: str) -> str:
    """Return the text of a page below ``docs``, such as ``hub.md``."""
    return (PAGES / name).read_text()


def all_pages() -> list[Path]:
    """Return every page of the project that people read."""
    return [*sorted(ROOT.glob("*.md")), *sorted(PAGES.rglob("*.md")), *sorted(ROOT.glob("benchmarks/*.md"))]


def tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield (header, rows) of each table; cells have no surrounding blanks."""
    lines = [*without_code(text).splitlines(), ""]
    block: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            block.append([cell.strip() for cell in line.strip("|").split("|")])
        elif block:
            yield block[0], block[2:]
            block = []


def rows_under(text: str, *header: str) -> dict[str, list[str]]:
    """Return the rows of all tables whose header begins with ``header``, by their first cell, unquoted."""
    found: dict[str, list[str]] = {}
    for head, rows in tables(text):
        if tuple(head[: len(header)]) == header:
            for row in rows:
                assert row[0] not in found, f"{row[0]} stands twice"
                found[row[0]] = row
    return {cell.strip("`"): row for cell, row in found.items()}


def marked_blocks(text: str, mark: str) -> list[str]:
    """Return the code blocks that follow ``<!-- mark -->``."""
    pattern = re.compile(rf"^<!-- {re.escape(mark)} -->\n```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return pattern.findall(text)


def without_code(text: str) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub does."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(without_code(text))
    }


def broken_links(path: Path, text: str) -> list[str]:
    """Return the links of a page to files and headings of the project that lead nowhere."""
    broken = []
    for target in LINK.findall(without_code(text)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path.resolve()
        if (file and not place.exists()) or (anchor and not _has_anchor(place, anchor, path, text)):
            broken.append(target)
    return broken


def _has_anchor(place: Path, anchor: str, path: Path, text: str) -> bool:
    """Has the page at ``place`` the heading? ``text`` is what stands at ``path``."""
    return anchor in anchors(text if place == path.resolve() else place.read_text())
