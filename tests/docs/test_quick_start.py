"""The README's quick start, typed as it stands: a real hub, a real agent, the count that it promises."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, marked_blocks
from tests.docs.shell import Shell, ShellError
from tests.docs.typed import environment, needs_the_environment, with_free_ports

MARK = "test: quick-start"
ARRIVE_TIMEOUT_S = 20.0


def blocks(text: str) -> list[str]:
    """Return the quick start's blocks with free ports."""
    return with_free_ports(marked_blocks(text, MARK))


def promised(text: str) -> list[list[str]]:
    """Return the table, cell by cell, that the README shows below the query."""
    printed = re.search(r"headland telemetry query [^\n]+\n```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert printed is not None
    return [line.split() for line in printed[1].splitlines()]


def cells(printed: str) -> list[list[str]]:
    """Return a printed table, cell by cell."""
    return [line.split() for line in printed.splitlines()]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short: a socket's path may have 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="hl-docs-"))
    yield path
    for state_dir in path.glob("*/cam-1"):
        program = str(Path(sys.executable).parent / "headland-agent")
        subprocess.run([program, "down", "--state-dir", str(state_dir)], capture_output=True, check=False)
    shutil.rmtree(path, ignore_errors=True)


def test_the_quick_start_does_what_it_shows(folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the quick start uses curl (Debian, Ubuntu: apt install curl)")
    needs_the_environment()
    text = (ROOT / "README.md").read_text()
    *before, query, stop = blocks(text)
    with Shell(ROOT, environment(folder)) as shell:
        try:
            printed = [shell.type(block) for block in before]
            deadline = time.monotonic() + ARRIVE_TIMEOUT_S
            answer = shell.type(f"{query.rstrip()} || true")
            while cells(answer) != promised(text) and time.monotonic() < deadline:
                time.sleep(0.2)
                answer = shell.type(f"{query.rstrip()} || true")
            stopped = shell.type(stop)
        finally:
            left = shell.end()
    assert cells(answer) == promised(text)
    assert '"data":[6]' in printed[-1]
    assert "cam-1: running" in printed[-2]
    assert stopped == "no container is left"
    assert left == [], "the last block stops everything"


def test_the_blocks_are_those_that_are_marked() -> None:
    text = (ROOT / "README.md").read_text()
    found = blocks(text)
    assert len(found) == 9
    assert len(found) + len(marked_blocks(text, "test: tour")) == text.count("```sh\n"), "all are typed"
    assert promised(text) == [["version", "prediction", "requests"], ["1", "6", "10"]]
    assert marked_blocks(text.replace(f"<!-- {MARK} -->", ""), MARK) == []


def test_a_command_that_fails_is_found(tmp_path: Path) -> None:
    with Shell(tmp_path, environment(tmp_path)) as shell:
        assert shell.type("echo one") == "one"
        with pytest.raises(ShellError, match="exit code 3"):
            shell.type("sh -c 'exit 3'\necho never")
        assert shell.end() == []


def test_a_process_that_is_left_is_found_and_ended(tmp_path: Path) -> None:
    with Shell(tmp_path, environment(tmp_path)) as shell:
        shell.type("(setsid sleep 300 > /dev/null 2>&1 &)")
        assert len(shell.end()) == 1
        assert shell.end() == []
