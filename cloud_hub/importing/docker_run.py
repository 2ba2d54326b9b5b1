"""``docker run ...`` as the body by which Docker makes a container. Pure.

Only a single plain command is read: whatever a shell would have to do first, nobody here does.
"""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cloud_hub.importing.spots import Path, Spot, spots

SHELL = re.compile(r"[;&|<>`$()\n\r*?~#!]")
SIZE = re.compile(r"(\d+)([bkmg]?)b?", re.IGNORECASE)
SECONDS = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
UNIT = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
SHORT = {
    "e": "env", "v": "volume", "p": "publish", "m": "memory", "c": "cpu-shares", "u": "user", "w": "workdir",
    "h": "hostname", "l": "label", "d": "detach", "i": "interactive", "t": "tty", "P": "publish-all",
}  # fmt: skip
SWITCHES = {
    "rm": "", "detach": "", "init": "Init", "privileged": "Privileged", "read-only": "ReadonlyRootfs",
    "interactive": "OpenStdin", "tty": "Tty", "publish-all": "PublishAllPorts",
}  # fmt: skip
ON_HOST = {
    "network": "NetworkMode", "net": "NetworkMode", "ipc": "IpcMode", "pid": "PidMode",
    "userns": "UsernsMode", "uts": "UTSMode", "runtime": "Runtime", "cpu-shares": "CpuShares",
    "cpuset-cpus": "CpusetCpus", "shm-size": "ShmSize", "memory-swap": "MemorySwap",
    "memory-reservation": "MemoryReservation", "log-driver": "LogConfig", "oom-score-adj": "OomScoreAdj",
    "cgroup-parent": "CgroupParent",
}  # fmt: skip
LISTS = {
    "volume": "Binds", "cap-add": "CapAdd", "cap-drop": "CapDrop", "security-opt": "SecurityOpt",
    "dns": "Dns", "add-host": "ExtraHosts", "group-add": "GroupAdd", "tmpfs": "Tmpfs", "ulimit": "Ulimits",
    "gpus": "DeviceRequests", "sysctl": "Sysctls", "log-opt": "LogOpt", "volumes-from": "VolumesFrom",
    "link": "Links", "device-cgroup-rule": "DeviceCgroupRules",
}  # fmt: skip
OF_CONTAINER = {
    "user": "User", "workdir": "WorkingDir", "hostname": "Hostname", "entrypoint": "Entrypoint",
    "stop-signal": "StopSignal", "name": "Name", "platform": "Platform", "pull": "Pull",
}  # fmt: skip
HEALTH = {"health-interval": "Interval", "health-timeout": "Timeout", "health-start-period": "StartPeriod"}


class NotPlainError(Exception):
    """It is no single ``docker run`` that can be read; the message says why, without any of the text."""


@dataclass
class Run:
    """A command as options of a container, its image, and its restart policy, each where it stands."""

    image: str
    body: dict[str, Any] = field(default_factory=dict)
    restart: str = ""
    passed: list[str] = field(default_factory=list)
    """Variables that the command takes from its own environment."""

    def options(self, path: Path) -> Spot:
        """Return the options as values inside the text at ``path``."""
        return spots(self.body, path)


def read_run(script: str) -> Run:
    """Return what a script says; raises `NotPlainError`."""
    text = re.sub(r"\\\r?\n", " ", script).strip()
    if SHELL.search(text):
        raise NotPlainError("the script asks a shell for more than to run one command")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise NotPlainError("its quotes do not end") from error
    if words[:1] == ["sudo"]:
        words = words[1:]
    if words[:2] != ["docker", "run"] and words[:3] != ["docker", "container", "run"]:
        raise NotPlainError("the script is no single `docker run`")
    return _options(words[words.index("run") + 1 :])


def _options(words: list[str]) -> Run:
    run, at = Run(""), 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        flags, value = _flags(words[at])
        at += 1
        for flag in flags[:-1]:
            _switch(run, flag, "true")
        last = flags[-1]
        if last in SWITCHES:
            _switch(run, last, value if value is not None else "true")
            continue
        if value is None:
            if at == len(words):
                raise NotPlainError("an option has no value")
            value, at = words[at], at + 1
        _set(run, last, value)
    if at == len(words):
        raise NotPlainError("it names no image")
    run.image = words[at]
    if words[at + 1 :]:
        run.body["Cmd"] = words[at + 1 :]
    return run


def _flags(word: str) -> tuple[list[str], str | None]:
    """Return the options of a word and the value that it has itself: ``-it``, ``-p80:80``, ``--env=A=1``."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        return [name], value if equals else None
    flags: list[str] = []
    for number, letter in enumerate(word[1:], 2):
        if letter not in SHORT:
            raise NotPlainError("it has an option that is not known here")
        flags.append(SHORT[letter])
        if SHORT[letter] not in SWITCHES:
            rest = word[number:]
            return flags, rest.removeprefix("=") if rest else None
    return flags, None


def _switch(run: Run, flag: str, value: str) -> None:
    if flag not in SWITCHES or value not in {"true", "false"}:
        raise NotPlainError("it has an option that is not known here")
    key = SWITCHES[flag]
    where = run.body if key in {"OpenStdin", "Tty"} else _host(run)
    if key:
        where[key] = value == "true"


def _set(run: Run, flag: str, value: str) -> None:
    host = _host(run)
    if flag in ON_HOST:
        host[ON_HOST[flag]] = value
    elif flag in LISTS:
        host.setdefault(LISTS[flag], []).append(value)
    elif flag in OF_CONTAINER:
        run.body[OF_CONTAINER[flag]] = value
    elif flag in HEALTH:
        run.body.setdefault("Healthcheck", {})[HEALTH[flag]] = _nanoseconds(value)
    elif flag in _OTHERS:
        _OTHERS[flag](run, value)
    else:
        raise NotPlainError("it has an option that is not known here")


def _host(run: Run) -> dict[str, Any]:
    host: dict[str, Any] = run.body.setdefault("HostConfig", {})
    return host


def _env(run: Run, value: str) -> None:
    if "=" in value:
        run.body.setdefault("Env", []).append(value)
    else:
        run.passed.append(value)


def _publish(run: Run, value: str) -> None:
    rest, slash, protocol = value.partition("/")
    outside, _, inside = rest.rpartition(":")
    address, _, port = outside.rpartition(":")
    binding = {"HostIp": address.strip("[]"), "HostPort": port}
    key = f"{inside}/{protocol if slash else 'tcp'}"
    _host(run).setdefault("PortBindings", {}).setdefault(key, []).append(binding)


def _device(run: Run, value: str) -> None:
    path, _, rest = value.partition(":")
    inside, _, access = rest.partition(":")
    device = {"PathOnHost": path, "PathInContainer": inside or path, "CgroupPermissions": access or "rwm"}
    _host(run).setdefault("Devices", []).append(device)


def _mount(run: Run, value: str) -> None:
    names = {"type": "Type", "source": "Source", "src": "Source", "target": "Target", "dst": "Target"}
    names |= {"destination": "Target", "readonly": "ReadOnly", "ro": "ReadOnly"}
    mount: dict[str, Any] = {"Type": "volume"}
    for part in value.split(","):
        key, equals, worth = part.partition("=")
        is_switch = names.get(key) == "ReadOnly"
        mount[names.get(key, key)] = (not equals or worth in {"true", "1"}) if is_switch else worth
    _host(run).setdefault("Mounts", []).append(mount)


def _memory(run: Run, value: str) -> None:
    match = SIZE.fullmatch(value)
    _host(run)["Memory"] = int(match[1]) * UNIT[match[2].lower()] if match and len(value) < 20 else value


def _number(key: str, factor: float = 1) -> Callable[[Run, str], None]:
    def put(run: Run, value: str) -> None:
        is_number = re.fullmatch(r"-?(?=[\d.])\d{0,15}(\.\d{1,9})?", value, re.ASCII) is not None
        _host(run)[key] = round(float(value) * factor) if is_number else value

    return put


def _health_test(run: Run, value: str) -> None:
    run.body.setdefault("Healthcheck", {})["Test"] = ["CMD-SHELL", value]


def _health_retries(run: Run, value: str) -> None:
    digits = value.isascii() and value.isdigit() and len(value) < 10
    run.body.setdefault("Healthcheck", {})["Retries"] = int(value) if digits else value


def _stop_timeout(run: Run, value: str) -> None:
    run.body["StopTimeout"] = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else value


def _restart(run: Run, value: str) -> None:
    run.restart = value


def _labels(run: Run, value: str) -> None:
    name, _, worth = value.partition("=")
    run.body.setdefault("Labels", {})[name] = worth


def _nanoseconds(value: str) -> int | str:
    match = SECONDS.fullmatch(value) if value and len(value) < 20 else None
    if match is None:
        return value
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return round((hours * 3600 + minutes * 60 + seconds) * 1e9)


_OTHERS: dict[str, Callable[[Run, str], None]] = {
    "env": _env,
    "publish": _publish,
    "device": _device,
    "mount": _mount,
    "memory": _memory,
    "cpus": _number("NanoCpus", 1e9),
    "cpu-quota": _number("CpuQuota"),
    "cpu-period": _number("CpuPeriod"),
    "pids-limit": _number("PidsLimit"),
    "health-cmd": _health_test,
    "health-retries": _health_retries,
    "stop-timeout": _stop_timeout,
    "restart": _restart,
    "label": _labels,
}
