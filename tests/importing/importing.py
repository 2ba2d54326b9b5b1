"""What the tests of imports share: deployments in short, and an import of one without a file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from cloud_hub.importing.greengrass import Source, import_greengrass
from cloud_hub.importing.imported import Imported, Remark, unaccounted
from cloud_hub.importing.iot_edge import import_iot_edge
from cloud_hub.importing.names import Images
from cloud_hub.importing.reading import read_document
from cloud_hub.importing.targets import Choices
from cloud_hub.rollouts.manifest import read_manifest

CONFIGS = Path(__file__).parents[2] / "configs"
IMAGE = "shop.example.com/vision/camera:2.3"
NOTHING: dict[str, str] = {}


def edge(modules: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """Return a deployment of IoT Edge with these modules."""
    agent = {"properties.desired": {"schemaVersion": "1.1", "modules": dict(modules)}}
    return {"modulesContent": {"$edgeAgent": agent, **others}}


def module(options: object = None, **others: Any) -> dict[str, Any]:
    """Return a module of IoT Edge with these options of its container, as a text."""
    settings: dict[str, Any] = {"image": IMAGE}
    if options is not None:
        settings["createOptions"] = options if isinstance(options, str) else json.dumps(options)
    return {"type": "docker", "settings": settings, **others}


def recipe(script: str, name: str = "com.example.Camera", **others: Any) -> dict[str, Any]:
    """Return a recipe of Greengrass whose component runs a script."""
    manifest = {"Platform": {"os": "linux"}, "Lifecycle": {"Run": script}}
    return {"RecipeFormatVersion": "2020-01-25", "ComponentName": name, "Manifests": [manifest], **others}


def from_edge(
    document: Any, values: Mapping[str, str] = NOTHING, images: Mapping[str, str] = NOTHING, **chosen: Any
) -> Imported:
    """Import a deployment of IoT Edge; nothing of it may be lost, and the hub takes what comes out."""
    found = import_iot_edge(
        document, file="d.json", choices=Choices(**chosen), values=values, images=Images(images)
    )
    return whole(found, ("d.json", document))


def from_greengrass(*documents: Any, values: Mapping[str, str] = NOTHING, **chosen: Any) -> Imported:
    """Import a deployment or recipe of Greengrass, and further recipes, as `from_edge` does."""
    sources = [(f"{number}.json", document) for number, document in enumerate(documents)]
    found = import_greengrass(
        sources[0], sources[1:], choices=Choices(**chosen), values=values, images=Images()
    )
    return whole(found, *sources)


def whole(found: Imported, *sources: Source) -> Imported:
    """Return what was found, once it is proved that nothing was lost and that the hub takes it."""
    for file, document in sources:
        listed = [one.steps for one in found.not_carried if one.file == file]
        assert list(unaccounted(document, found.carried, listed)) == []
    read_manifest(found.manifest)
    return found


def spec(found: Imported) -> dict[str, Any]:
    """Return the ``spec`` of a manifest."""
    value: dict[str, Any] = yaml.safe_load(found.manifest)["spec"]
    return value


def only(found: Imported) -> dict[str, Any]:
    """Return the only module of a manifest."""
    (value,) = spec(found)["modules"].values()
    return dict(value)


def left(found: Imported, ending: str) -> Remark:
    """Return what is said of the only value that was left out and whose path ends so."""
    (remark,) = [one for one in found.not_carried if one.path.endswith(ending)]
    assert remark.why
    assert remark.fix
    return remark


def sample(name: str) -> Any:
    """Return what a file of ``configs`` says."""
    return read_document((CONFIGS / name).read_bytes(), name, yaml=name.endswith(".yaml"))


def said(found: object) -> str:
    """Return all that an import or an error gives out, as text."""
    if isinstance(found, BaseException):
        return f"{found} {getattr(found, 'errors', '')}"
    return json.dumps(msgspec.to_builtins(found), ensure_ascii=False)
