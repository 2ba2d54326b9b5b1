"""Every value is carried or listed: the account finds one that is neither, and what is carried matters."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cloud_hub.importing.errors import ImportingError
from cloud_hub.importing.imported import Imported, unaccounted
from cloud_hub.importing.spots import Path, shown, spots
from tests.importing.importing import edge, from_edge, from_greengrass, module, recipe, said, sample

FULL = {
    "Env": ["A=1"],
    "Cmd": ["-v"],
    "StopTimeout": 5,
    "Hostname": "x",
    "Healthcheck": {"Test": ["CMD", "ok"], "Interval": 10**10, "Retries": 2, "StartPeriod": 10**11},
    "HostConfig": {
        "Binds": ["/a:/b:ro"],
        "Mounts": [{"Type": "volume", "Source": "d", "Target": "/d", "ReadOnly": True}],
        "Memory": 33554432,
        "NanoCpus": 10**9,
        "PidsLimit": 9,
        "Devices": [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/a", "CgroupPermissions": "r"}],
        "CapAdd": ["SYS_TIME"],
        "Privileged": True,
        "ReadonlyRootfs": True,
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]},
    },
}


def template() -> dict[str, Any]:
    """Return a template that has about all that can be carried."""
    one = module(restartPolicy="never", startupOrder=1, status="running", env={"B": {"value": "2"}})
    one["settings"]["createOptions"] = FULL
    return {"$schema-template": "4.0.0", **edge({"a": one, "b": module(startupOrder=2)})}


def others(value: object) -> Iterator[object]:
    """Yield values that stand for another one of the same kind, and one of another kind."""
    if isinstance(value, str):
        yield f"{value}x"
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value / 2
    yield {"another": "kind"}


def outcome(document: Any) -> str:
    """Return what an import gives out, but for the paths that are only ticked off."""
    try:
        return said(msgspec.structs.replace(from_edge(document), carried=()))
    except ImportingError as error:
        return said(error)


def put(document: Any, path: Path, value: object) -> Any:
    """Return a document with another value at a path."""
    changed = copy.deepcopy(document)
    here = changed
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return changed


def without(found: Imported, path: Path) -> list[Path]:
    """Return what the account finds of the template if nobody had said anything of a path."""
    carried = [one for one in found.carried if one != path]
    listed = [one.steps for one in found.not_carried if one.steps != path]
    return list(unaccounted(template(), carried, listed))


def test_a_dropped_leaf_is_found() -> None:
    found, document = from_edge(template()), template()
    known = [leaf.path for leaf in spots(document).leaves()]
    assert len(known) > 30
    for path in known:
        assert without(found, path) == [path]
    assert list(unaccounted(document, [], [])) == known


def test_a_carried_mapping_does_not_stand_for_what_is_in_it() -> None:
    assert list(unaccounted({"a": {"b": 1}}, [("a",)], [])) == [("a", "b")]
    assert list(unaccounted({"a": {"b": 1}}, [], [("a",)])) == []


def test_a_text_counts_by_its_inside_and_a_mapping_does_not() -> None:
    assert list(unaccounted({"a": "{}"}, [], [("a", "b")])) == []
    assert list(unaccounted({"a": {}}, [], [("a", "b")])) == [("a",)]


@pytest.mark.parametrize("path", from_edge(template()).carried, ids=shown)
def test_what_is_carried_matters(path: Path) -> None:
    """Another value there has another outcome: so it was read, and not only ticked off."""
    before = outcome(template())
    value: Any = template()
    for step in path:
        value = value[step]
    for other in others(value):
        assert outcome(put(template(), path, other)) != before


@pytest.mark.parametrize(
    "path",
    [leaf.path for leaf in spots(sample("greengrass-deployment.json")).leaves()],
    ids=shown,
)
def test_what_is_carried_of_greengrass_matters(path: Path) -> None:
    document, component = sample("greengrass-deployment.json"), sample("greengrass-recipe.yaml")
    before = from_greengrass(document, component)
    if path not in before.carried:
        return
    changed = from_greengrass(put(document, path, {"another": "kind"}), component)
    assert (changed.manifest, changed.not_carried) != (before.manifest, before.not_carried)


def test_nothing_of_a_recipe_is_lost_whatever_its_script_is() -> None:
    script = "docker run --rm -d --name n -u 5 -w / --gpus all --log-opt a=b --tmpfs /t -P --init x:1"
    found = from_greengrass(recipe(script))
    paths = {one.path.rpartition("Run.")[2] for one in found.not_carried}
    assert paths == {
        "Name", "User", "WorkingDir", "HostConfig.DeviceRequests[0]", "HostConfig.LogOpt[0]",
        "HostConfig.Tmpfs[0]", "HostConfig.PublishAllPorts", "HostConfig.Init",
    }  # fmt: skip
