"""The body by which Docker makes a container, as IoT Edge's ``createOptions`` have it, as a module. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cloud_hub.importing.draft import ModuleDraft
from cloud_hub.importing.host_config import carry_host_config
from cloud_hub.importing.reasons import OF_CONTAINER, OF_HOST, Reason
from cloud_hub.importing.secret_values import keep_back, looks_secret
from cloud_hub.importing.spots import Spot

SECOND_NS = 1_000_000_000
DOCKER_PROBE_S = 30


@dataclass
class Ports:
    """Which ports of a device are taken, by (address, port): two modules may not ask for one."""

    taken: set[tuple[str, int]] = field(default_factory=set)


def carry_container(options: Spot, draft: ModuleDraft, ports: Ports) -> None:
    """Carry what a module has a counterpart for; list the rest, each with its reason where there is one."""
    host = options.get("HostConfig")
    on_host = host is not None and (mode := host.get("NetworkMode")) is not None and mode.value == "host"
    for key, spot in options.items():
        # Docker's API takes its zero values as nothing said.
        if not spot.value and (key in OF_CONTAINER or key in _READERS or key == "HostConfig"):
            draft.ledger.carry(spot)
        elif key == "HostConfig" and isinstance(spot.value, dict):
            carry_host_config(spot, draft, ports.taken)
            leave_by_table(spot, draft, OF_HOST)
        elif key == "NetworkingConfig" and on_host:
            for leaf in spot.leaves():
                if leaf.path[len(spot.path) :] == ("EndpointsConfig", "host"):
                    draft.ledger.carry(leaf)
        elif key in _READERS:
            _READERS[key](spot, draft)
    leave_by_table(options, draft, OF_CONTAINER)


def leave_by_table(options: Spot, draft: ModuleDraft, reasons: dict[str, Reason]) -> None:
    """List what has a known reason, leaf by leaf, where nothing was said of it yet."""
    for key, spot in options.items():
        if key in reasons and not spot.value:
            draft.ledger.carry(spot)
        for leaf in spot.leaves() if key in reasons else ():
            if not draft.ledger.is_known(leaf.path):
                draft.ledger.leave(leaf, key, *reasons[key])


def carry_environment(spot: Spot, name: str, value: Spot, draft: ModuleDraft) -> None:
    """Carry one variable, noted at ``spot``; one that looks like a secret is kept back."""
    worth = value.value
    if looks_secret(name, worth):
        keep_back(draft.ledger, spot, name)
    elif draft.has("env", name):
        draft.ledger.leave(spot, name, "the module's environment has this name already", "keep one of them")
    elif isinstance(worth, bool):
        draft.put(spot, "true" if worth else "false", "env", name)
    elif isinstance(worth, str | int | float):
        draft.put(spot, str(worth), "env", name)
    else:
        draft.ledger.leave(spot, name, "its value is no text", "write it by hand")


def _environment(spot: Spot, draft: ModuleDraft) -> None:
    for line in spot.parts():
        name, equals, value = (line.text or "").partition("=")
        if equals:
            carry_environment(line, name, Spot(line.path, value), draft)
        else:
            draft.ledger.leave(line, "Env", "it is no NAME=VALUE", "write it by hand")


def _command(spot: Spot, draft: ModuleDraft) -> None:
    words = [spot.value] if spot.text is not None else [part.value for part in spot.parts()]
    if any(looks_secret("", word) for word in words):
        keep_back(draft.ledger, spot, "Cmd")
    elif words:
        draft.put(spot, words, "command")


def _stop_timeout(spot: Spot, draft: ModuleDraft) -> None:
    draft.put(spot, spot.value, "stopGraceSeconds")


def _health(spot: Spot, draft: ModuleDraft) -> None:
    """Carry a health check as readiness and liveness; times are nanoseconds, 0 is Docker's own."""
    ledger, test = draft.ledger, spot.get("Test")
    words = [part.value for part in test.parts()] if test is not None else []
    if test is None or not words or words[0] not in ("CMD", "CMD-SHELL", "NONE"):
        for leaf in spot.leaves():
            ledger.leave(leaf, "Healthcheck", "it is the image's own check", "write `readiness` by hand")
        return None
    if words[0] == "NONE":
        return ledger.carry(*spot.leaves())
    program = words[1:] if words[0] == "CMD" else ["/bin/sh", "-c", *words[1:]]
    probe: dict[str, object] = {
        "exec": program,
        "periodSeconds": DOCKER_PROBE_S,
        "timeoutSeconds": DOCKER_PROBE_S,
    }
    if any(looks_secret("", word) for word in program):
        return keep_back(ledger, spot, "Healthcheck")
    if not draft.put(test, probe, "lifecycle", "readiness"):
        return None
    for key, name, unit in (
        ("Interval", "periodSeconds", SECOND_NS),
        ("Timeout", "timeoutSeconds", SECOND_NS),
        ("Retries", "failures", 1),
    ):
        _probe_value(spot.get(key), draft, name, unit)
    draft.spec["lifecycle"]["liveness"] = dict(draft.spec["lifecycle"]["readiness"])
    _start_period(spot.get("StartPeriod"), draft)
    return None


def _probe_value(spot: Spot | None, draft: ModuleDraft, name: str, unit: int) -> None:
    if spot is None or spot.number is None:
        return
    if spot.number == 0:
        draft.ledger.carry(spot)
    else:
        value = spot.number / unit if unit > 1 else spot.number
        draft.put(spot, value, "lifecycle", "readiness", name)


def _start_period(spot: Spot | None, draft: ModuleDraft) -> None:
    """Docker calls a container unhealthy once its start is over and so many checks failed."""
    if spot is None or spot.number is None:
        return
    if spot.number == 0:
        draft.ledger.carry(spot)
        return
    probe = draft.spec["lifecycle"]["readiness"]
    patience_s = spot.number / SECOND_NS + probe["periodSeconds"] * probe.get("failures", 3)
    if draft.put(spot, patience_s, "readyTimeoutSeconds"):
        draft.ledger.change(
            spot,
            "StartPeriod",
            "a new version that is not ready in this time, with its checks, goes back to the one before",
            "see that `readyTimeoutSeconds` is long enough",
        )


_READERS: dict[str, Callable[[Spot, ModuleDraft], None]] = {
    "Env": _environment,
    "Cmd": _command,
    "StopTimeout": _stop_timeout,
    "Healthcheck": _health,
}
