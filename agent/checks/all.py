"""All looks in the order in which a person would go through them."""

from collections.abc import Callable
from datetime import UTC, datetime

from agent.checks import identity, machine, network
from agent.checks.finding import Finding, failed, looked
from agent.errors import NotEnrolledError, SettingsError
from agent.identity import store
from agent.network.line import open_network
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
        "daemon": lambda: machine.daemon(settings),
    }
    try:
        found, way = store.load(settings.identity_dir), open_network(settings.proxy)
    except SettingsError as error:
        finding = failed("proxy", f"{error.where}: {error.what}", error.fix)
        return (finding, *(looked(name, look) for name, look in looks.items()))
    except HeadlandError as error:
        fix = error.fix if isinstance(error, NotEnrolledError) else identity.ENROL_AGAIN
        return (failed("identity", error.what, fix), *(looked(name, look) for name, look in looks.items()))
    now = datetime.now(UTC)
    looks |= {
        "identity": lambda: identity.identity(found),
        "certificate": lambda: identity.certificate(found, now),
        "clock": lambda: network.clock(found, now, _past(settings, found), way),
        "proxy": lambda: network.proxy(found, way),
        "name": lambda: network.name(found, way),
        "hub": lambda: network.hub(found, way),
        "broker": lambda: network.broker(found, way),
    }
    return tuple(looked(name, look) for name, look in looks.items())


def _past(settings: Settings, found: store.Identity) -> datetime | None:
    """Return the latest time that the hub put its name under: it is past."""
    times = [identity.validity(found)[0]]
    desired = AgentRecords(settings.state_dir / "desired").load_desired()
    if desired is not None:
        times.append(desired.issued_at)
    return max(times)
