"""What the device says of itself: a pure function of the same values that the planner sees."""

import msgspec

from agent.reconcile.planner import unmet
from agent.reconcile.state import Context, Memory, Observed, spec_digest, wanted_modules
from contract.desired import Desired, Module
from contract.messages import ModuleReport, ModuleState


def module_reports(
    desired: Desired | None, observed: Observed, memory: Memory, context: Context
) -> tuple[ModuleReport, ...]:
    """Return one line for each desired module, and for each that is on its way out."""
    if desired is None:
        return ()
    wanted = wanted_modules(desired)
    lines = [
        msgspec.structs.replace(
            _wanted_line(module, desired.generation, observed, memory, context),
            restarts=context.restarts.get(name, 0),
        )
        for name, module in sorted(wanted.items())
    ]
    leaving = {c.module.name: c.module for c in observed.containers if c.module.name not in wanted}
    lines += [_line(module, "stopping") for _, module in sorted(leaving.items())]
    return tuple(lines)


def converged(desired: Desired | None, observed: Observed, reports: tuple[ModuleReport, ...]) -> bool:
    """Does exactly what is desired run, and nothing else?"""
    if desired is None:
        return False
    specs = {spec_digest(module) for module in desired.modules}
    return all(report.state in {"running", "exited"} for report in reports) and all(
        c.spec in specs and c.phase == "ready" and c.published and not c.out_of_memory
        for c in observed.containers
    )


def _wanted_line(
    module: Module, generation: int, observed: Observed, memory: Memory, context: Context
) -> ModuleReport:
    spec = spec_digest(module)
    containers, why = observed.of(module.name), memory.why_stopped(module)
    failure = memory.failed.get(module.name)
    if failure is not None and failure.generation == generation:
        running = next((c.module for c in containers if c.phase == "ready"), None)
        if running is not None:
            return _line(running, "rolled_back", failure.reason)
        return _line(module, "failed", failure.reason)
    if any(c.phase == "ready" and c.spec == spec for c in containers):
        return _line(module, "running", _of_running(context.forbidden.get(spec), why))
    if memory.finished.get(module.name) == spec:
        return _line(module, "exited", why)
    trouble = context.pull_troubles.get(module.image.digest, "")
    if module.image.digest in context.pulling or trouble:
        return _line(module, "pulling", trouble)
    if spec in observed.lacking:
        why = context.secret_troubles.get(spec, "")
        return _line(module, "waiting", f"for its secrets: {why}" if why else "for its secrets")
    if module.name in context.held:
        return _line(module, "waiting", context.held[module.name])
    if spec in context.forbidden and not any(c.spec == spec for c in containers):
        return _line(module, "waiting", f"not started: {context.forbidden[spec]}")
    if spec in context.broken:
        again = f"it stops again and again{', ' if why else ''}{why}"
        return _line(module, "broken", f"{again}; it is tried again after the longest wait")
    waits = unmet(module, observed)
    if waits and not any(c.spec == spec for c in containers):
        return _line(module, "waiting", f"for {', '.join(waits)}")
    return _line(module, "starting", context.start_troubles.get(module.name, why))


def _of_running(forbidden: str | None, why: str) -> str:
    if forbidden:
        return f"not to be started again: {forbidden}"
    return f"started again, it was {why}" if why else ""


def _line(module: Module, state: ModuleState, reason: str = "") -> ModuleReport:
    return ModuleReport(
        name=module.name, state=state, image=module.image.name, digest=module.image.digest, reason=reason
    )
