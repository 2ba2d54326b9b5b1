"""A rollout that comes together value by value: the hub's own schema judges each before it is taken. Pure."""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from cloud_hub.errors import ManifestError
from cloud_hub.importing.errors import ImportInvalidError
from cloud_hub.importing.imported import Ledger
from cloud_hub.importing.secret_values import KEPT_BACK, keep_back
from cloud_hub.importing.spots import Spot
from cloud_hub.rollouts.lifecycle import wrong_dependency
from cloud_hub.rollouts.manifest import ModuleSpec, read_manifest
from cloud_hub.rollouts.strategy import StrategySpec
from contract.access import MOST

MOST_MODULES = 100
MOST_OF_ANY = 100
EXCLUSIVE = frozenset({"volumes", "devices", "hostNetwork", "privileged"})
ADAPT = "write a value that a rollout may have by hand, see docs/rollouts.md"


@dataclass
class ModuleDraft:
    """One module as a manifest has it; ``ledger`` notes what becomes of each value."""

    name: str
    image: str
    ledger: Ledger
    spec: dict[str, Any] = field(default_factory=dict)

    def put(self, spot: Spot, value: object, *keys: str) -> bool:
        """Set ``spec[keys]``, if the hub takes it; else ``spot`` is listed with the hub's reason."""
        section = self._with(keys, value)
        # The others of the environment have been judged, and may be thousands.
        judged = {keys[0]: {keys[1]: value}} if keys[0] == "env" else {keys[0]: section}
        return self._take(spot, keys, section, judged)

    def add(self, spot: Spot, value: object, *keys: str) -> bool:
        """Append to the list at ``spec[keys]``, if the hub takes it; else ``spot`` is listed."""
        here = self.spec
        for key in keys:
            here = here.get(key, {})
        # Beyond its bound a list is refused anyway; to ask for each of thousands would take minutes.
        if len(here) >= MOST.get(keys[-1], MOST_OF_ANY):
            self.ledger.leave(spot, keys[-1], f"a module has at most {len(here)} of them", "do with fewer")
            return False
        section = self._with(keys, [*here, value])
        return self._take(spot, keys, section, {keys[0]: section})

    def has(self, *keys: str) -> bool:
        """Was it set?"""
        here: Any = self.spec
        for key in keys:
            here = here.get(key) if isinstance(here, dict) else None
        return here is not None

    def _with(self, keys: tuple[str, ...], value: object) -> Any:  # noqa: ANN401  a part of a manifest
        if len(keys) == 1:
            return value
        if keys[0] == "env":
            return {**self.spec.get("env", {}), keys[1]: value}
        section = deepcopy(self.spec.get(keys[0], {}))
        here = section
        for key in keys[1:-1]:
            here = here.setdefault(key, {})
        here[keys[-1]] = value
        return section

    def _take(self, spot: Spot, keys: tuple[str, ...], section: object, judged: dict[str, Any]) -> bool:
        if KEPT_BACK in json.dumps(judged, ensure_ascii=False, default=str):
            keep_back(self.ledger, spot, keys[-1])
            return False
        why = refusal(ModuleSpec, {"image": self.image, **judged})
        if why:
            self.ledger.leave(spot, keys[-1], f"a rollout does not take it: {why}", ADAPT)
            return False
        self.spec[keys[0]] = section
        self.ledger.carry(spot)
        return True


@dataclass
class RolloutDraft:
    """A rollout: whom it is for, its modules and its strategy."""

    name: str
    target: dict[str, Any] = field(default_factory=dict)
    modules: list[ModuleDraft] = field(default_factory=list)
    strategy: dict[str, Any] = field(default_factory=dict)

    def steer(self, ledger: Ledger, spot: Spot, key: str, value: object) -> bool:
        """Set a key of the strategy, if the hub takes it; else ``spot`` is listed."""
        why = refusal(StrategySpec, {**self.strategy, key: value})
        if why:
            ledger.leave(spot, key, f"a rollout does not take it: {why}", ADAPT)
            return False
        self.strategy[key] = value
        return True

    def let_wait(self, module: ModuleDraft, needed: str) -> bool:
        """Let a module start after another; False where that would be a circle."""
        waits = {one.name: list(one.spec.get("lifecycle", {}).get("dependsOn", [])) for one in self.modules}
        waits[module.name].append(needed)
        if wrong_dependency(waits) is not None:
            return False
        module.spec.setdefault("lifecycle", {})["dependsOn"] = waits[module.name]
        return True

    def manifest(self, file: str) -> str:
        """Return the manifest as YAML, which the hub's own parser has read; raises `ImportInvalidError`."""
        spec = {"target": self.target, "modules": {one.name: _whole(one) for one in self.modules}}
        if self.strategy:
            spec["strategy"] = self.strategy
        whole = {
            "apiVersion": "headland/v1",
            "kind": "Rollout",
            "metadata": {"name": self.name},
            "spec": spec,
        }
        text = yaml.dump(whole, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)
        try:
            read_manifest(text)
        except ManifestError as error:
            words = "; ".join(f"{one.field}: {one.reason}" for one in error.errors) or error.what
            raise ImportInvalidError(
                f"what it becomes is no rollout: {words}", where=file, fix="Import a part of it at a time."
            ) from error
        return text


class _Plain(yaml.SafeDumper):
    """The hub refuses aliases, so what stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002  as its base has it
        return True


def refusal(schema: type[BaseModel], value: object) -> str:
    """Return why the hub's schema does not take a value, or an empty text."""
    try:
        schema.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return str(first["msg"]).removeprefix("Value error, ")
    return ""


def _whole(module: ModuleDraft) -> dict[str, Any]:
    """Return a module as a manifest has it.

    Elsewhere the old container is always gone before the new one starts; a module that has what two cannot
    share is updated so here as well.
    """
    if EXCLUSIVE & module.spec.get("access", {}).keys():
        module.spec["lifecycle"] = {**module.spec.get("lifecycle", {}), "update": "stop-first"}
    order = ("env", "command", "limits", "stopGraceSeconds", "readyTimeoutSeconds", "lifecycle", "access")
    return {"image": module.image, **{key: module.spec[key] for key in order if key in module.spec}}
