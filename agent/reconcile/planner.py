"""The planner: a pure function from what is desired and observed to the next steps.

The order of a change is fixed by what each step waits for: an image is pulled before anything
starts, a module's secrets are here before anything stops for it, the new container is ready before the
old one is asked to stop (unless the module is to be stopped first), and a version that does not become
ready is left in favour of the one that last passed.
"""

from collections.abc import Iterable
from dataclasses import replace

from agent.reconcile.state import (
    Commit,
    Condemn,
    ContainerSeen,
    Context,
    Drain,
    Fail,
    Failure,
    Fetch,
    Finish,
    Forget,
    Kill,
    Memory,
    Note,
    Observed,
    Publish,
    Pull,
    Remove,
    Start,
    Step,
    Stop,
    spec_digest,
    wanted_modules,
)
from contract.desired import Desired, Module


def plan(desired: Desired | None, observed: Observed, memory: Memory, context: Context) -> tuple[Step, ...]:
    """Return the steps that can be taken now; an empty tuple where all is as desired or in flight."""
    if desired is None:
        return ()
    wanted = wanted_modules(desired)
    names = {*wanted, *memory.committed, *memory.stopped, *(c.module.name for c in observed.containers)}
    steps: list[Step] = []
    for name in sorted(names):
        steps += _Change(name, wanted.get(name), desired.generation, observed, memory, context).steps()
    return tuple(steps)


def restarts(module: Module, *, ended_well: bool) -> bool:
    """Is a container that ended by itself to be started again?"""
    policy = module.life.restart
    return policy == "always" or (policy != "never" and not ended_well)


class _Change:
    """One module: what it is to be, and what there is of it."""

    def __init__(
        self,
        name: str,
        wanted: Module | None,
        generation: int,
        observed: Observed,
        memory: Memory,
        context: Context,
    ) -> None:
        self._name, self._wanted, self._generation = name, wanted, generation
        self._observed, self._context = observed, context
        self._committed = memory.committed.get(name)
        self._failure = memory.failed.get(name)
        self._finished = memory.finished.get(name)
        self._stop = memory.stopped.get(name)
        self._containers = observed.of(name)

    def steps(self) -> list[Step]:
        """Return what can be done now."""
        steps: list[Step] = [*self._condemn(), *self._kill_half_alive(), *self._clear_away()]
        target = self._target()
        if target is None:
            leaving = [c for c in self._containers if c.alive]
            steps += _stop(leaving)
            # At once: what was taken away is not to be gone back to, should another version be wanted soon.
            if self._wanted is None and (leaving or self._is_remembered()):
                steps.append(Forget(self._name))
            return steps
        # What is killed in this round serves no more, and no version passes by it.
        self._containers = tuple(
            replace(c, phase="exited") if c.alive and c.out_of_memory else c for c in self._containers
        )
        steps += self._fetch(target)
        if target is not self._wanted and self._is_held() and self._wanted is not None:
            # It may be fetched while it waits: that disturbs nobody.
            steps += self._pull(self._wanted) if self._wanted.life.update != "delete-first" else []
        return steps + self._approach(target)

    def _is_remembered(self) -> bool:
        return bool(self._committed or self._failure or self._finished or self._stop)

    def _condemn(self) -> list[Step]:
        sick = [
            c
            for c in self._containers
            if c.phase == "ready"
            and c.id in self._context.unhealthy
            and c.module.life.restart in {"always", "on-unhealthy"}
        ]
        ids = {c.id for c in sick}
        self._containers = tuple(replace(c, phase="draining") if c.id in ids else c for c in self._containers)
        return [Condemn(c.id) for c in sick]

    def _kill_half_alive(self) -> list[Step]:
        """End what the kernel has killed a part of, where it does not end the whole by itself."""
        running = (c for c in self._containers if c.phase in {"starting", "ready", "draining"})
        return [Kill(c.id, c.why) for c in running if c.out_of_memory]

    def _clear_away(self) -> list[Step]:
        steps: list[Step] = []
        for c in self._containers:
            if c.phase in {"exited", "lost"}:
                crashed = c.phase == "exited"
                if crashed and self._has_done(c):
                    steps += [Commit(c.module)] if self._on_trial(c.module) else []
                    steps.append(Finish(c.module))
                    crashed = False
                steps += self._note(c) if c.phase == "exited" else []
                steps.append(Remove(c.id, crashed=crashed, why=c.why))
            elif c.phase == "draining" and c.draining_s > c.module.stop_grace_s and not c.out_of_memory:
                steps.append(Kill(c.id))
        return steps

    def _note(self, ended: ContainerSeen) -> list[Step]:
        """Keep why it ended, if that is not what is kept: a crash after a crash writes nothing."""
        stop = Stop(ended.spec, ended.why) if ended.why else None
        return [] if stop == self._stop or self._wanted is None else [Note(self._name, stop)]

    def _has_done(self, container: ContainerSeen) -> bool:
        """Did it end as it may, and is not to begin again? A version on trial only by an exit with 0."""
        module = self._wanted if self._wanted is not None else container.module
        if spec_digest(module) != container.spec or restarts(module, ended_well=container.ended_well):
            return False
        return not self._on_trial(module) or container.ended_well

    def _target(self) -> Module | None:
        """Return the version to run: the desired one, or the last that passed if it failed or has to wait."""
        if self._wanted is not None and self._failed():
            return self._committed
        return self._committed if self._is_held() else self._wanted

    def _failed(self) -> bool:
        return self._failure is not None and self._failure.generation == self._generation

    def _is_held(self) -> bool:
        """Does what runs stay for now? Only what was running, and only until its successor has begun."""
        committed = self._committed
        if self._name not in self._context.held or committed is None:
            return False
        spec = spec_digest(committed)
        if self._wanted is not None and spec_digest(self._wanted) == spec:
            return False
        alive = {c.spec for c in self._containers if c.alive}
        return alive == {spec}

    def _on_trial(self, module: Module) -> bool:
        return self._committed is None or spec_digest(self._committed) != spec_digest(module)

    def _approach(self, target: Module) -> list[Step]:
        spec = spec_digest(target)
        on_target = [c for c in self._containers if c.spec == spec]
        ready = [c for c in on_target if c.phase == "ready"]
        on_trial = self._on_trial(target)
        if ready:
            serving = next((c for c in ready if c.published), ready[0])
            publish: list[Step] = [] if serving.published else [Publish(serving.id)]
            commit: list[Step] = [Commit(target)] if self._committed != target else []
            return publish + commit + _stop(c for c in self._containers if c.alive and c is not serving)
        starting = [c for c in on_target if c.phase == "starting"]
        if starting:
            late = [c for c in starting if c.age_s > target.ready_timeout_s]
            failed: list[Step] = []
            if late and on_trial:
                reason = f"not ready within {target.ready_timeout_s:g} s"
                failed = [Fail(self._name, Failure(self._generation, reason))]
            return failed + _stop(late) + self._keep_last_good(target)
        stopped = [c for c in on_target if c.phase == "exited" and not self._has_done(c)]
        if on_trial and stopped:
            reason = ": ".join(filter(None, ("stopped before it was ready", stopped[0].why)))
            return [Fail(self._name, Failure(self._generation, reason))]
        if self._finished == spec or any(c.phase == "exited" for c in on_target):
            return []
        return self._begin(target, spec, on_target)

    def _begin(self, target: Module, spec: str, on_target: list[ContainerSeen]) -> list[Step]:
        """Lead to a start: pull, wait, stop what has to stop before."""
        if spec in self._context.forbidden:
            return self._keep_last_good(target, begun=False)
        if spec in self._observed.lacking:
            pull = [] if target.life.update == "delete-first" else self._pull(target)
            return pull + self._keep_last_good(target, begun=False)
        others = [
            c for c in self._containers if c.spec != spec and c.phase in {"starting", "ready", "draining"}
        ]
        staged = target.image.digest in self._observed.staged
        if others and (target.life.update == "delete-first" or (staged and self._stops_first(target))):
            may_start = staged and spec not in self._context.backing_off
            if not staged or may_start:
                return _stop(c for c in others if c.alive)
        if not staged:
            return self._pull(target) + self._keep_last_good(target)
        if spec in self._context.backing_off:
            return self._keep_last_good(target)
        # One that crashed is removed first, which sets the wait before its next start.
        return [] if on_target else self._start(target)

    def _pull(self, module: Module) -> list[Step]:
        digest = module.image.digest
        there = digest in self._observed.staged
        return [] if there or digest in self._context.pulling | self._context.backing_off else [Pull(module)]

    def _fetch(self, target: Module) -> list[Step]:
        """Get what is lacking of the desired version, also while another runs, and of the one to run."""
        modules = {spec_digest(target): target}
        if self._wanted is not None and not self._failed():
            modules[spec_digest(self._wanted)] = self._wanted
        missing = self._observed.lacking - self._context.fetching
        return [Fetch(module) for spec, module in modules.items() if spec in missing]

    def _start(self, module: Module) -> list[Step]:
        return [] if unmet(module, self._observed) else [Start(module)]

    def _keep_last_good(self, target: Module, *, begun: bool = True) -> list[Step]:
        """While the next version is not there yet, a crash of the running one is mended as ever."""
        committed = self._committed
        if committed is None or committed.image.digest not in self._observed.staged:
            return []
        spec = spec_digest(committed)
        lacking = spec in self._observed.lacking or spec in self._context.forbidden
        if lacking or spec in self._context.backing_off or self._finished == spec:
            return []
        beside = any(c.phase != "draining" and c.spec == spec for c in self._containers)
        if beside or (begun and self._stops_first(target) and self._on_its_way(target)):
            return []
        return self._start(committed)

    def _stops_first(self, target: Module) -> bool:
        return target.life.update != "hand-over" or self._name in self._context.alone

    def _on_its_way(self, target: Module) -> bool:
        """Has the next version taken the place of the last one already?"""
        spec = spec_digest(target)
        return target.life.update == "delete-first" or any(c.spec == spec for c in self._containers)


def unmet(module: Module, observed: Observed) -> tuple[str, ...]:
    """Return the modules that have to be ready before this one starts, and are not."""
    return tuple(name for name in module.life.depends_on if name not in observed.ready)


def _stop(containers: Iterable[ContainerSeen]) -> list[Step]:
    return [Drain(c.id) for c in containers]
