"""Commands of a page, ready to be typed; and what they print, without what differs each time.

Only two words differ from what stands in a page: the ports 8443 and 8883 become free ones. `mktemp -d`
makes its folder below ``TMPDIR``, which is the test's.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulators.demo.stage import free_port
from tests.docs.pages import ROOT

PORTS = ("8443", "8883")
DIFFERS = {
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?": "TIME",
    r"\b[0-9a-f]{64}\b": "DIGEST",
    r"\bsha256:[0-9a-f]{12}\b": "DIGEST",
    r"\b[0-9a-f]{32}\b": "ID",
    r"/\S*/tmp\.\w{10}": "FOLDER",
    r"(?<=localhost:)\d+": "PORT",
    # Of layers, which depend on the machine's zlib; and of a log's lines.
    r"\d+\.\d MB": "SIZE",
    r"\d+ rows, \d+ objects": "ROWS",
    r"[ \t]+(?=\n|$)": "",
    r"(?<=\S) {2,}": "  ",
}
"""Patterns of what is another each time, and the word that stands for it."""


@dataclass(frozen=True)
class Block:
    """Commands that stand together, and what a page shows of their output; None where it shows nothing."""

    commands: str
    shown: str | None


def blocks_with_output(text: str, mark: str) -> list[Block]:
    """Return the blocks after ``<!-- mark -->``, each with the block of text that follows it at once."""
    pattern = re.compile(
        rf"^<!-- {re.escape(mark)} -->\n```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?",
        re.DOTALL | re.MULTILINE,
    )
    return [Block(found[1], found[2]) for found in pattern.finditer(text)]


def with_free_ports(blocks: list[str]) -> list[str]:
    """Return commands with free ports in the place of those that a page names, each once."""
    for port in PORTS:
        assert sum(block.count(port) for block in blocks) == 1, f"port {port} stands once in the commands"
    # All at once: a free port such as 38883 has the next one in it.
    free = {port: str(free_port()) for port in PORTS}
    return [re.sub("|".join(PORTS), lambda found: free[found[0]], block) for block in blocks]


def stable(printed: str) -> list[str]:
    """Return the lines of an output with words for what differs each time, such as times and digests."""
    for pattern, word in DIFFERS.items():
        printed = re.sub(pattern, word, printed)
    return printed.strip("\n").split("\n")


def environment(folder: Path) -> dict[str, str]:
    """Return this process's environment, with ``mktemp`` led into ``folder`` and no login of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADLAND_")}
    return inherited | {"TMPDIR": str(folder), "JOBLIB_MULTIPROCESSING": "0"}


def needs_the_environment() -> None:
    """Skip the test where what the README begins with, the checkout's own environment, is not there."""
    if not (ROOT / ".venv/bin/headland").exists():
        pytest.skip("the README uses .venv, which `make test` sets up")
