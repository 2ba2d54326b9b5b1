"""The planner: a pure function from what is desired and observed to the next steps.

The order of a change is fixed by what each step waits for: an image is pulled before anything
starts, the new container is ready before the old one is asked to stop, and a version that does
not become ready is left in favour of the one that last passed.
"""

from collections.abc import Iterable

from agent.reconcile.state import (
    Commit,
    ContainerSeen,
    Context,
    Drain,
    Fail,
    Failure,
    Forget,
    Kill,
    Memory,
    Observed,
    Publish,
    Pull,
    Remove,
    Start,
    Step,
    spec_digest,
    wanted_modules,
)
from contract.desired import Desired, Module


def plan(desired: Desired | None, observed: Observed, memory: Memory, context: Context) -> tuple[Step, ...]:
    """Return the steps that can be taken now; an empty tuple where all is as desired or in flight."""
    if desired is None:
        return ()
    wanted = wanted_modules(desired)
    names = {*wanted, *memory.committed, *(c.module.name for c in observed.containers)}
    steps: list[Step] = []
    for name in sorted(names):
        target = _target(wanted.get(name), desired.generation, memory)
        containers = observed.of(name)
        steps += [Remove(c.id, crashed=c.phase == "exited") for c in containers if not _exists(c)]
        steps += [Kill(c.id) for c in containers if c.phase == "draining" and _overdue(c)]
        if target is None:
            steps += _stop(c for c in containers if c.alive)
            if not containers and name not in wanted:
                steps.append(Forget(name))
        else:
            steps += _approach(target, containers, observed.staged, memory, context, desired.generation)
    return tuple(steps)


def _target(wanted: Module | None, generation: int, memory: Memory) -> Module | None:
    """Return the version to run: the desired one, or the last that passed if that one failed."""
    if wanted is None:
        return None
    failure = memory.failed.get(wanted.name)
    if failure is not None and failure.generation == generation:
        return memory.committed.get(wanted.name)
    return wanted


def _approach(
    target: Module,
    containers: tuple[ContainerSeen, ...],
    staged: frozenset[str],
    memory: Memory,
    context: Context,
    generation: int,
) -> list[Step]:
    spec = spec_digest(target)
    on_target = [c for c in containers if c.spec == spec]
    ready = [c for c in on_target if c.phase == "ready"]
    committed = memory.committed.get(target.name)
    on_trial = committed != target
    if ready:
        serving = next((c for c in ready if c.published), ready[0])
        publish: list[Step] = [] if serving.published else [Publish(serving.id)]
        commit: list[Step] = [Commit(target)] if on_trial else []
        return publish + commit + _stop(c for c in containers if c.alive and c is not serving)
    starting = [c for c in on_target if c.phase == "starting"]
    if starting:
        late = [c for c in starting if c.age_s > target.ready_timeout_s]
        reason = f"not ready within {target.ready_timeout_s:g} s"
        failed: list[Step] = [Fail(target.name, Failure(generation, reason))] if late and on_trial else []
        return failed + _stop(late) + _keep_last_good(committed, containers, staged, context)
    if on_trial and any(c.phase == "exited" for c in on_target):
        return [Fail(target.name, Failure(generation, "stopped before it was ready"))]
    if target.image.digest in staged:
        if spec in context.backing_off:
            return _keep_last_good(committed, containers, staged, context)
        # One that crashed is removed first, which sets the wait before its next start.
        return [] if on_target else [Start(target)]
    pull: list[Step] = []
    if target.image.digest not in context.pulling | context.backing_off:
        pull = [Pull(target)]
    return pull + _keep_last_good(committed, containers, staged, context)


def _keep_last_good(
    committed: Module | None,
    containers: tuple[ContainerSeen, ...],
    staged: frozenset[str],
    context: Context,
) -> list[Step]:
    """While the next version is not there yet, a crash of the running one is mended as ever."""
    if committed is None or committed.image.digest not in staged:
        return []
    spec = spec_digest(committed)
    if spec in context.backing_off:
        return []
    return [] if any(c.phase != "draining" and c.spec == spec for c in containers) else [Start(committed)]


def _stop(containers: Iterable[ContainerSeen]) -> list[Step]:
    return [Drain(c.id) for c in containers]


def _exists(container: ContainerSeen) -> bool:
    return container.phase not in {"exited", "lost"}


def _overdue(container: ContainerSeen) -> bool:
    return container.draining_s > container.module.stop_grace_s
