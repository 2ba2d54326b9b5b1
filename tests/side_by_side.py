"""Which tests run on which worker, and in what order, when pytest-xdist runs them side by side.

What one worker runs is a whole test file, so that what a module shares is made once. Folders whose tests
share something dear (a hub with images, built images) are a whole too. The long ones begin first: none
of them is left alone at the end.
"""

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/e2e/", "tests/images/")
APART = tuple(
    f"tests/e2e/test_{name}.py"
    for name in ("attached_telemetry", "cluster", "lifecycle", "postgres", "stage", "uploads")
)
"""Files of those folders that have a hub of their own, or enough tests for one."""
LONG = (
    "tests/e2e/",
    "tests/images/",
    "tests/activities/test_hub_kills.py",
    "tests/api/test_openapi.py",
    "tests/docs/",
    "tests/broker/",
    "tests/drivers/",
)


class Scheduling(LoadScopeScheduling):
    """Whole files, or whole folders, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)  # type: ignore[arg-type]

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """Return what a test is one of: tests of one unit run on one worker, one after the other."""
    file = nodeid.partition("::")[0]
    folder = next((folder for folder in TOGETHER if nodeid.startswith(folder) and file not in APART), None)
    return folder or file


def long_first(nodeids: Sequence[str]) -> list[int]:
    """Return the places of tests in the order to run them: those of `LONG` first, else as they are."""
    ranks = {begin: rank for rank, begin in enumerate(LONG)}

    def rank(place: int) -> int:
        return next((ranks[begin] for begin in LONG if nodeids[place].startswith(begin)), len(LONG))

    return sorted(range(len(nodeids)), key=rank)
