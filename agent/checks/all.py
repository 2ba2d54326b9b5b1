"""All looks in the order in which a person would go through them."""

from collections.abc import Callable
from datetime import UTC, datetime

from agent.checks import identity, machine, neighbours, network
from agent.checks.finding import Finding, failed, looked
from agent.checks.policy import policy
from agent.errors import NotEnrolledError
from agent.identity import store
from agent.network.line import Network, open_network
from agent.reconcile.records import AgentRecords
from agent.settings import Settings
from contract.errors import HeadlandError

Look = Callable[[], Finding]


def findings(settings: Settings) -> tuple[Finding, ...]:
    """Look at everything; without an identity the looks that need one are left out."""
    if not settings.state_dir.is_dir():
        words = f"{settings.state_dir} is not there"
        return (failed("state folder", words, "Enrol the device, or give --state-dir."),)
    looks: dict[str, Look] = {
        "state folder": lambda: machine.state_folder(settings),
        "disk": lambda: machine.disk(settings),
        "cgroups": lambda: machine.cgroups(settings),
        "driver": lambda: machine.driver(settings),
        "policy": lambda: policy(settings),
        "daemon": lambda: machine.daemon(settings),
        "agent": lambda: machine.agent(settings),
    }
    try:
        found = store.load(settings.identity_dir)
    except HeadlandError as error:
        fix = error.fix if isinstance(error, NotEnrolledError) else identity.ENROL_AGAIN
        return (failed("identity", error.what, fix), *(looked(name, look) for name, look in looks.items()))
    now = datetime.now(UTC)

    def way() -> Network:
        return open_network(settings.proxy)

    looks |= {
        "identity": lambda: identity.identity(found),
        "certificate": lambda: identity.certificate(found, now),
        "clock": lambda: network.clock(found, way(), now, _past(settings, found)),
        "proxy": lambda: network.proxy(settings.proxy),
        "name": lambda: network.name(found, way()),
        "hub": lambda: network.hub(found, way()),
        "broker": lambda: network.broker(found, way()),
    }
    if settings.neighbours.listen:
        looks["neighbours"] = lambda: neighbours.serving(found, settings.neighbours)
    if any(each.neighbour for each in settings.sources):
        looks["sources"] = lambda: neighbours.asking(found, settings.sources)
    return tuple(looked(name, look) for name, look in looks.items())


def _past(settings: Settings, found: store.Identity) -> datetime | None:
    """Return the latest time that the hub put its name under: it is past."""
    times = [identity.validity(found)[0]]
    desired = AgentRecords(settings.state_dir / "desired").load_desired()
    if desired is not None:
        times.append(desired.issued_at)
    return max(times)
