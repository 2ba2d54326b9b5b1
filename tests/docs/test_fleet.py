"""docs/fleet-simulator.md has every option of `headland-sim fleet`, and its help an example."""

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import page, rows_under


def told() -> str:
    """Return what the command's help says."""
    program = str(Path(sys.executable).parent / "headland-sim")
    return subprocess.run([program, "fleet", "--help"], capture_output=True, text=True, check=True).stdout


def test_every_option_is_in_the_page_and_no_other() -> None:
    options = set(re.findall(r"^ +(?:-h, )?(--[a-z-]+)", told(), re.MULTILINE)) - {"--help"}
    assert set(rows_under(page("fleet-simulator.md"), "option")) == options


def test_the_help_has_an_example_of_options_that_exist() -> None:
    example = told().rpartition("example: ")[2]
    assert example.startswith("headland-sim fleet ")
    assert set(re.findall(r"--[a-z-]+", example)) <= set(rows_under(page("fleet-simulator.md"), "option"))
