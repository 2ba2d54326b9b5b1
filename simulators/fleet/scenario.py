"""Scenario files: which devices of a fleet live how. Strict; every fault is told at once."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final

import msgspec
import yaml

from simulators.fleet.behaviour import Behaviour, Span
from simulators.fleet.errors import ScenarioError
from simulators.fleet.profiles import PROFILES, Cut, Profile
from simulators.fleet.sensing import Sensor

REST: Final = "always-on"
HEAD: Final = {"apiVersion": "headland/v1", "kind": "FleetScenario"}
MAX_BYTES: Final = 64 * 1024


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """So large a ``share`` of the devices has a profile, some of it changed."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    share: Annotated[float, msgspec.Meta(gt=0, le=1)]
    profile: str = REST
    up_s: Span | msgspec.UnsetType = msgspec.UNSET
    down_s: Span | msgspec.UnsetType = msgspec.UNSET
    cuts: tuple[Cut, ...] | msgspec.UnsetType = msgspec.UNSET
    clock_ahead_s: float | msgspec.UnsetType = msgspec.UNSET
    behaviour: Behaviour | msgspec.UnsetType = msgspec.UNSET
    sensors: tuple[Sensor, ...] | msgspec.UnsetType = msgspec.UNSET

    def whole(self) -> Profile:
        """Return the profile with the changes."""
        fields = {name: getattr(self, name) for name in Profile.__struct_fields__}
        changed = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
        return msgspec.structs.replace(PROFILES[self.profile], **changed)


class Crew(msgspec.Struct, frozen=True, kw_only=True):
    """Devices that live alike."""

    group: str
    profile: Profile
    devices: list[str]


def read_scenario(path: Path) -> list[Group]:
    """Return the groups of a scenario file; raises `ScenarioError` with every fault of it."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"it cannot be read ({error.strerror})", where=str(path)) from error
    if len(text) > MAX_BYTES:
        raise ScenarioError(f"a scenario has at most {MAX_BYTES} bytes", where=str(path))
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise ScenarioError(f"{line}it is not YAML", where=str(path)) from error
    groups, faults = _judged(document)
    if faults:
        raise ScenarioError(
            "; ".join(faults), where=str(path), fix="See docs/fleet-simulator.md for every key."
        )
    return groups


def crews(groups: Sequence[Group], devices: Sequence[str], seed: int) -> list[Crew]:
    """Deal devices out to groups, by lot; who is in none is always on."""
    order = list(devices)
    Random(seed).shuffle(order)  # noqa: S311  repeatable, not secret
    dealt, begin, reached = [], 0, 0.0
    for group in groups:
        reached += group.share
        end = round(min(1.0, reached) * len(order))
        dealt.append(Crew(group=group.name, profile=group.whole(), devices=sorted(order[begin:end])))
        begin = end
    rest = Crew(group=REST, profile=PROFILES[REST], devices=sorted(order[begin:]))
    return [crew for crew in (*dealt, rest) if crew.devices]


def _judged(document: Any) -> tuple[list[Group], list[str]]:  # noqa: ANN401  whatever the file holds
    if not isinstance(document, dict):
        return [], ["it is no mapping"]
    faults = [f"{key} must be {value}" for key, value in HEAD.items() if document.get(key) != value]
    faults += [f"{key}: unknown key" for key in document if key not in {*HEAD, "groups"}]
    listed = document.get("groups")
    if not isinstance(listed, list) or not listed:
        return [], [*faults, "groups must be a list of at least one"]
    groups: list[Group] = []
    for number, one in enumerate(listed):
        try:
            groups.append(msgspec.convert(one, Group))
        except msgspec.ValidationError as error:
            faults.append(f"groups[{number}]: {error}")
    faults += [
        f"group {group.name}: no profile {group.profile}; there are {', '.join(PROFILES)}"
        for group in groups
        if group.profile not in PROFILES
    ]
    names = [group.name for group in groups]
    faults += [f"group {name} stands twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if sum(group.share for group in groups) > 1 + 1e-9:
        faults.append("the shares are more than 1 together")
    return groups, faults
