"""The README's tour of the hub, typed as it stands; each block prints what the README shows."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.shell import Shell
from tests.docs.typed import blocks_with_output, environment, needs_the_environment, stable, with_free_ports

MARK = "test: tour"
SHOWS = (
    "rob     person  Reader",
    "iris:2  onnx       518 B  stage=prod",
    "metric accuracy  0.92",
    "your role Reader does not allow it [forbidden]",
    "exit code 1",
    "db-password:1 is stored",
    "code/train.py",
    ": completed, 100%",
    "  image iris:1",
    "secret.set        db-password:1",
    "whole: 8 entries",
    "with its keys",
)
"""What the tour is there to show; a README that shows none of it would agree with anything."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of this test's own, taken away whatever happens."""
    path = Path(tempfile.mkdtemp(prefix="hl-docs-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def readme() -> str:
    """Return the README."""
    return (ROOT / "README.md").read_text()


def ends(printed: list[str]) -> list[str]:
    """Return the ends of the audit log as they were printed, which are to be the same after a restore."""
    return re.findall(r"^whole: \d+ entries, end (\S+)$", "\n".join(printed), re.MULTILINE)


def test_the_tour_does_what_it_shows(folder: Path) -> None:
    needs_the_environment()
    found = blocks_with_output(readme(), MARK)
    with Shell(ROOT, environment(folder)) as shell:
        try:
            printed = [shell.type(block) for block in with_free_ports([block.commands for block in found])]
        finally:
            left = shell.end()
    for block, answer in zip(found, printed, strict=True):
        if block.shown is not None:
            assert stable(answer) == stable(block.shown)
    before, after = ends(printed)
    assert before == after, "the restored log is the one that was backed up"
    assert left == [], "the last block stops everything"


def test_the_readme_shows_what_the_tour_is_for() -> None:
    found = blocks_with_output(readme(), MARK)
    shown = "".join(block.shown or "" for block in found)
    assert [words for words in SHOWS if words not in shown] == []
    assert [block.shown is None for block in found] == [True] + [False] * (len(found) - 1)


def test_a_planted_other_output_is_found() -> None:
    shown = "".join(block.shown or "" for block in blocks_with_output(readme(), MARK))
    for told, planted in (
        ("rob     person  Reader", "rob     person  Owner"),
        ("[forbidden]", "[not-found]"),
        ("accuracy  0.92", "accuracy  0.97"),
        ("iris:2  onnx", "iris:3  onnx"),
        ("whole: 8", "whole: 9"),
    ):
        assert told in shown
        assert stable(shown.replace(told, planted)) != stable(shown)


def test_what_differs_each_time_does_not_count() -> None:
    one = (
        f"whole: 2 entries, end 2:{'ab' * 32}\nfile sha256:{'0' * 64}\nran 2026-11-25 14:19:06   \n  x 1.5 MB"
    )
    other = (
        f"whole: 2 entries, end 2:{'cd' * 32}\nfile sha256:{'1' * 64}\nran 2027-01-01 00:00:00\n  x 70.1 MB"
    )
    assert stable(one) == stable(other)
    assert stable("2:abc") != stable("2:abd")
