"""How often a module stopped by itself under a document is reported, and begins anew with the next one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.rig import until
from tests.faults.rig import Rig


@pytest.fixture
def rig(folder: Path) -> Iterator[Rig]:
    """A device that runs version 1 of both modules."""
    rig = Rig(folder)
    try:
        yield rig
    finally:
        rig.close()


def restarts(rig: Rig, generation: int) -> list[object] | None:
    """Return what is reported of modules a and b once that generation is whole; None before."""
    report = rig.reported()
    if report is None or report.generation != generation or not report.converged:
        return None
    return [module.restarts for module in sorted(report.modules, key=lambda module: module.name)]


def test_restarts_are_counted_by_module_and_document(rig: Rig) -> None:
    rig.first()
    until("it is reported", lambda: restarts(rig, 1) == [0, 0])
    rig.kill_one("a")
    until("one restart is reported", lambda: restarts(rig, 1) == [1, 0])
    rig.kill_one("a")
    until("two are", lambda: restarts(rig, 1) == [2, 0])
    rig.apply(2, 2)
    until("none under the next document", lambda: restarts(rig, 2) == [0, 0])
    rig.kill_one("b")
    until("one under it", lambda: restarts(rig, 2) == [0, 1])
