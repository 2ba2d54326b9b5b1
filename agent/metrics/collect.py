"""What the agent tells of itself: a pure function of facts that the daemon gathers at each scrape."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from agent.metrics.text import Metric, Sample, counter, gauge
from contract.desired import Desired
from contract.messages import AgentReport, AgentState, ModuleState, OutboxReport, PullReport, Reported


@dataclass(frozen=True)
class Facts:
    """What is true at a scrape; ages in seconds, ``started_at_s`` since the Unix epoch."""

    version: str
    driver: str
    started_at_s: float
    resident_bytes: int
    threads: int
    connected: bool
    desired: Desired | None
    reported: Reported | None
    crashes: Mapping[str, int]
    outbox: OutboxReport
    pulls: PullReport
    kept_bytes: int
    outbox_bytes: int
    outbox_max_bytes: int
    stalled_s: float
    free_bytes: int


def metrics(facts: Facts) -> list[Metric]:
    """Return the metrics; a module's state is 1 in the state that it is in, and 0 in the others."""
    return [*_agent(facts), *_desired(facts), *_outbox(facts), *_pulls(facts)]


def _agent(facts: Facts) -> list[Metric]:
    info = Sample(1, {"version": facts.version, "driver": facts.driver})
    return [
        Metric("headland_agent_info", "gauge", "The agent's version and driver.", (info,)),
        gauge("headland_connected", "1 while there is a connection to the hub.", facts.connected),
        gauge(
            "headland_loop_stalled_seconds",
            "Time since the last step of the round in hand; 0 while the loop waits.",
            facts.stalled_s,
        ),
        Metric(
            "headland_agent_update",
            "gauge",
            "1 for what becomes of the order for another version of the agent.",
            _update(facts.reported),
        ),
        gauge("headland_disk_free_bytes", "Free on the disk of the state folder.", facts.free_bytes),
        gauge("process_start_time_seconds", "When the agent started, Unix time.", facts.started_at_s),
        gauge("process_resident_memory_bytes", "Memory of the agent's process.", facts.resident_bytes),
        gauge("process_threads", "Threads of the agent's process.", facts.threads),
    ]


def _update(reported: Reported | None) -> tuple[Sample, ...]:
    agent = reported.agent if reported is not None else None
    if not isinstance(agent, AgentReport):
        return ()
    return tuple(Sample(agent.state == state, {"state": state}) for state in get_args(AgentState))


def _desired(facts: Facts) -> list[Metric]:
    reported = facts.reported
    modules = reported.modules if reported else ()
    states = tuple(
        Sample(module.state == state, {"module": module.name, "image": module.image, "state": state})
        for module in modules
        for state in get_args(ModuleState)
    )
    crashes = {module.name: 0 for module in modules} | dict(facts.crashes)
    restarts = tuple(Sample(count, {"module": name}) for name, count in sorted(crashes.items()))
    return [
        gauge(
            "headland_generation",
            "Generation of the desired document in force; 0: none.",
            facts.desired.generation if facts.desired else 0,
        ),
        gauge(
            "headland_converged",
            "1 where exactly what is desired runs.",
            reported is not None and reported.converged,
        ),
        gauge(
            "headland_refused",
            "1 where the hub's last document was refused.",
            reported is not None and reported.refused is not None,
        ),
        Metric("headland_module_state", "gauge", "1 for the state that a module is in.", states),
        Metric(
            "headland_module_restarts_total",
            "counter",
            "Containers that stopped by themselves since the agent started.",
            restarts,
        ),
    ]


def _outbox(facts: Facts) -> list[Metric]:
    return [
        gauge(
            "headland_outbox_pending_samples",
            "Samples that the hub has not acknowledged.",
            facts.outbox.pending,
        ),
        counter(
            "headland_outbox_dropped_samples_total",
            "Samples dropped because the outbox was full, since it was made.",
            facts.outbox.dropped,
        ),
        gauge("headland_outbox_disk_bytes", "What the outbox takes on the disk.", facts.outbox_bytes),
        gauge("headland_outbox_max_bytes", "The outbox's bound.", facts.outbox_max_bytes),
    ]


def _pulls(facts: Facts) -> list[Metric]:
    pulls = facts.pulls
    return [
        counter(
            "headland_pull_received_bytes_total",
            "Layers and deltas received since the agent started.",
            pulls.received_bytes,
        ),
        counter("headland_pull_saved_bytes_total", "What deltas saved.", pulls.saved_bytes),
        counter("headland_pull_deltas_total", "Deltas that came instead of layers.", pulls.deltas),
        counter("headland_pull_fallbacks_total", "Deltas that were of no use.", pulls.fallbacks),
        counter(
            "headland_neighbour_served_bytes_total",
            "Bytes of layers given to neighbours.",
            pulls.served_bytes or 0,
        ),
        gauge("headland_neighbour_cache_bytes", "What is kept for neighbours.", facts.kept_bytes),
    ]
