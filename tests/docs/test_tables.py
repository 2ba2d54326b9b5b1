"""No table of a page says a thing twice: what two branches both wrote stands out here."""

from collections import Counter

from tests.docs.pages import all_pages, page, tables


def said_twice(text: str) -> list[str]:
    """Return what stands more than once at the head of a row of one table."""
    found = []
    for head, rows in tables(text):
        both = head[0] == "method" or head[1:2] == ["connections"]
        keys = Counter(" ".join(row[:2]) if both else row[0] for row in rows)
        found += [key for key, count in keys.items() if key and count > 1]
    return found


def test_no_table_says_a_thing_twice() -> None:
    assert {path.name: found for path in all_pages() if (found := said_twice(path.read_text()))} == {}


def test_a_planted_second_row_is_found() -> None:
    text = page("access.md")
    row = next(line for line in text.splitlines() if line.startswith("| Reader |"))
    assert said_twice(text.replace(row, f"{row}\n| Reader | do nothing |")) == ["Reader"]
