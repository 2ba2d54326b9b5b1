"""What a step leaves in the agent's memory. Pure but for the log."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from agent.reconcile.state import Commit, Fail, Finish, Forget, Memory, Note, spec_digest

log = logging.getLogger(__name__)

T = TypeVar("T")


def remembering(memory: Memory, step: Commit | Finish | Fail | Note | Forget) -> Memory:
    """Return the memory after a step."""
    match step:
        case Commit(module):
            log.info("module %s: %s passed", module.name, module.image.name)
            committed = {**memory.committed, module.name: module}
            return replace(memory, committed=committed, failed=_but(memory.failed, module.name))
        case Finish(module):
            log.info("module %s: %s has ended and is not started again", module.name, module.image.name)
            return replace(memory, finished={**memory.finished, module.name: spec_digest(module)})
        case Fail(name, failure):
            log.error("module %s: generation %d failed: %s", name, failure.generation, failure.reason)
            return replace(memory, failed={**memory.failed, name: failure})
        case Note(name, stop):
            others = _but(memory.stopped, name)
            return replace(memory, stopped=others if stop is None else {**others, name: stop})
        case Forget(name):
            return Memory(
                _but(memory.committed, name),
                _but(memory.failed, name),
                _but(memory.finished, name),
                _but(memory.stopped, name),
            )


def _but(rows: Mapping[str, T], name: str) -> dict[str, T]:
    return {key: row for key, row in rows.items() if key != name}
