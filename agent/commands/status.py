"""`headland-agent status`."""

import argparse
import json
from pathlib import Path

from agent.commands.command import Command, say
from agent.drivers.bundle import BUNDLE
from agent.drivers.id_ranges import taken
from agent.endpoints.listeners import Listeners
from agent.identity import store as identity_store
from agent.reconcile.records import AgentRecords, ContainerRecords
from agent.selfupdate.told import versions_of
from agent.settings import Settings
from agent.version import VERSION


def status_of(settings: Settings) -> dict[str, object]:
    """Return what the device holds, read from its state folder."""
    identity = identity_store.load(settings.identity_dir)
    records, containers = (
        AgentRecords(settings.state_dir / "desired"),
        ContainerRecords(settings.state_dir / "containers"),
    )
    desired, memory = records.load_desired(), records.load_memory()
    listeners = Listeners(settings.state_dir / "run")
    return {
        "device": identity.facts.device,
        "workspace": identity.facts.workspace,
        "hub": identity.facts.hub,
        "generation": desired.generation if desired else 0,
        "agent": {"version": VERSION, **versions_of(settings.state_dir, desired)},
        "modules": [
            {
                "name": module.name,
                "image": module.image.name,
                "committed": memory.committed.get(module.name) == module,
                "endpoint": f"unix:{listeners.path(module.name)}",
                "failed": memory.failed[module.name].reason if module.name in memory.failed else None,
                "stopped": memory.why_stopped(module) or None,
            }
            for module in (desired.modules if desired else ())
        ],
        "containers": [
            {
                "id": record.id,
                "image": record.module.image.name,
                "ready": containers.marked(record.id, "ready"),
                "user_namespace": _first_user(containers.driver_folder(record.id)),
            }
            for record in containers.all()
        ],
    }


def _first_user(home: Path) -> int | None:
    ids = taken(home / BUNDLE)
    return ids.first if ids is not None else None


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    say(json.dumps(status_of(settings), indent=None if arguments.output == "json" else 2))
    return 0


STATUS = Command(
    "status", "show what this device holds, without the hub", "headland-agent status --output json", _run
)
