"""What a start began is undone where it fails, and what is told is why it failed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.drivers.port import DriverError

log = logging.getLogger(__name__)


@contextmanager
def undone(undo: Callable[[], None], where: str) -> Iterator[None]:
    """Call ``undo`` where the block fails. The block's error goes on, whatever undoing meets.

    So a disk that fails in both is not taken for a fault of the image. What is left is seen as half made, and
    removed later.
    """
    try:
        yield
    except BaseException:
        try:
            undo()
        except (DriverError, OSError) as error:
            log.warning("%s: what its start left is removed later: %s", where, error)
        raise
