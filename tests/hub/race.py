"""Works that begin at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from contract.errors import HeadlandError


def race(
    *works: Callable[[], object], refusals: tuple[type[HeadlandError], ...] = (HeadlandError,)
) -> list[object]:
    """Do all at the same moment; return what each returned or was refused with; another error is raised."""
    together = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        together.wait()
        try:
            return work()
        except refusals as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))
