"""Deployments of Azure IoT Edge, as files of its tools and as templates, read as a rollout. Pure.

The form is that of "Properties of the IoT Edge agent and IoT Edge hub module twins" and of "Deploy modules
and establish routes", learn.microsoft.com/azure/iot-edge, schemas 1.0 and 1.1.
"""

import re
from collections.abc import Mapping
from typing import Any

from cloud_hub.importing.draft import RolloutDraft
from cloud_hub.importing.edge_modules import Reading, read_modules
from cloud_hub.importing.edge_tree import undotted
from cloud_hub.importing.errors import ImportInvalidError, ImportOptionError
from cloud_hub.importing.imported import Imported, Ledger
from cloud_hub.importing.names import Images, name_of
from cloud_hub.importing.outcome import finished
from cloud_hub.importing.placeholders import TEMPLATE, Placeholders, unused
from cloud_hub.importing.spots import Spot, spots
from cloud_hub.importing.targets import Choices, aim, by_condition

SCHEMAS = {"1.0", "1.1", "1.2"}
TEMPLATES = re.compile(r"[1-4](\.\d{1,3}){1,2}", re.ASCII)
ROUTES = "let the modules talk over sockets or the device's network, and samples go to the hub as telemetry"
OF_HUB = {
    "routes": ("a route", "Headland has no routes between modules", ROUTES),
    "storeAndForwardConfiguration": (
        "how long messages are kept",
        "the agent's outbox keeps samples until the hub has them, within the room on the disk",
        "set `outbox` in agent.toml",
    ),
    "mqttBroker": ("the broker of the device", "Headland has no broker on devices", ROUTES),
}
OF_EXPORT = {
    "priority": "the last rollout of a device counts",
    "labels": "a rollout has no labels",
    "metrics": "`headland rollout show` counts its devices",
    "systemMetrics": "`headland rollout show` counts its devices",
    "createdTimeUtc": "the hub notes when a rollout is applied",
    "lastUpdatedTimeUtc": "the hub notes when a rollout is applied",
    "etag": "each apply is a revision of its own",
    "schemaVersion": "it is the form of the file",
}


def import_iot_edge(
    document: Any,  # noqa: ANN401  any JSON
    *,
    file: str,
    choices: Choices,
    values: Mapping[str, str],
    images: Images,
) -> Imported:
    """Return a deployment as a rollout.

    ``values`` stand for placeholders. Raises `ImportInvalidError` where it is no deployment,
    `ImportNothingError` where no module is left, `ImportOptionError` where an option is of no use.
    """
    root, ledger = spots(document), Ledger(file)
    content = _content(root, file)
    schema = root.get("$schema-template")
    if schema is not None and TEMPLATES.fullmatch(schema.text or ""):
        ledger.carry(schema)
    placeholders = Placeholders(TEMPLATE, values, template=schema is not None)
    agent, hub = (undotted(content.get(name), ledger) for name in ("$edgeAgent", "$edgeHub"))
    identity = root.get("id")
    own = identity.text if identity is not None else None
    draft = RolloutDraft(choices.name or name_of(own or "", "imported"))
    if own and not choices.name:
        ledger.carry(identity)
    reading = Reading(draft, ledger, placeholders, images)
    _runtime(agent, ledger)
    read_modules(agent.get("properties", "desired", "modules"), reading)
    _hub(hub, ledger)
    _twins(content, ledger)
    first = aim(draft, choices.target, _condition(root, ledger, chosen=choices.target is not None))
    for key, why in OF_EXPORT.items():
        ledger.leave(root.get(key), key, why, "nothing")
    if idle := unused(values, TEMPLATE, root):
        raise ImportOptionError(f"there is no placeholder {', '.join(idle)}", where=file, fix="Check --set.")
    return finished(draft, [(root, ledger)], images, first)


def _content(root: Spot, file: str) -> Spot:
    for way in (
        ("modulesContent",),
        ("content", "modulesContent"),
        ("moduleContent",),
        ("content", "moduleContent"),
    ):
        found = root.get(*way)
        if found is not None and isinstance(found.value, dict):
            return found
    raise ImportInvalidError(
        "it is no deployment of IoT Edge: there is no object `modulesContent`, or `content.modulesContent`",
        where=file,
        fix="Give the file as `az iot edge deployment show`, the portal or a template has it.",
    )


def _runtime(agent: Spot, ledger: Ledger) -> None:
    desired = agent.get("properties", "desired")
    schema = desired.get("schemaVersion") if desired is not None else None
    if schema is not None and schema.text in SCHEMAS:
        ledger.carry(schema)
    runtime = desired.get("runtime") if desired is not None else None
    kind = runtime.get("type") if runtime is not None else None
    if kind is not None and kind.value == "docker":
        ledger.carry(kind)
    settings = runtime.get("settings") if runtime is not None else None
    for key, why in (
        ("minDockerVersion", "a device needs no Docker"),
        (
            "loggingOptions",
            "the agent keeps and turns logs of containers; see `logs.max_bytes` in agent.toml",
        ),
    ):
        ledger.leave(settings.get(key) if settings is not None else None, key, why, "nothing")
    credentials = settings.get("registryCredentials") if settings is not None else None
    for _, credential in credentials.items() if credentials is not None else ():
        ledger.leave(
            credential,
            "a registry's credential",
            "devices pull from the hub alone; the credential is not shown here",
            "give it to the tool that copies the image into the hub's registry",
        )
    system = desired.get("systemModules") if desired is not None else None
    for name, module in system.items() if system is not None else ():
        why = "Headland's own agent takes the place of IoT Edge's modules"
        ledger.leave(module, f"the system's module {name}", why, "install Headland's agent on the devices")


def _hub(hub: Spot, ledger: Ledger) -> None:
    desired = hub.get("properties", "desired")
    for key, spot in desired.items() if desired is not None else ():
        if key == "schemaVersion" and spot.text in SCHEMAS:
            ledger.carry(spot)
        elif key in OF_HUB:
            for _, part in spot.items():
                ledger.leave(part, *OF_HUB[key])


def _twins(content: Spot, ledger: Ledger) -> None:
    """List the desired properties of modules, each by itself."""
    for name, twin in content.items():
        if name in {"$edgeAgent", "$edgeHub"}:
            continue
        for key, spot in twin.items():
            inner = list(spot.items()) if key.startswith("properties") else []
            for _, part in inner or [(key, spot)]:
                ledger.leave(
                    part,
                    "a desired property",
                    "Headland has no twins of modules",
                    "give it to the module in `env`, or in a file of its image",
                )


def _condition(root: Spot, ledger: Ledger, *, chosen: bool) -> dict[str, Any] | None:
    spot = root.get("targetCondition")
    if spot is None or not spot.value:
        ledger.carry(spot)
        return None
    if chosen:
        ledger.leave(spot, "targetCondition", "--device or --tag says whom it is for", "nothing")
        return None
    target = by_condition(spot.text or "")
    if target is None:
        why = "only tags and one device's name, joined by `and`, can be carried over"
        ledger.leave(spot, "targetCondition", why, "import with --device or --tag")
        return None
    why = "who is meant is settled when the rollout is applied, and tags are Headland's"
    ledger.change(spot, "targetCondition", why, "tag the devices by `headland device tag`")
    return target
