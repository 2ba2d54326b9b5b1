"""Whatever a document says: nothing of it is lost, no secret comes out, the hub takes what is made."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.importing.errors import ImportingError
from cloud_hub.importing.imported import Imported
from cloud_hub.importing.reading import read_document
from cloud_hub.importing.reasons import OF_CONTAINER, OF_HOST
from tests.importing.importing import from_edge, from_greengrass, said

MARK = "hunter2"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["${A}", "$MODULE_A", "{artifacts:path}", "/srv:/srv", "a:/a:ro", "80/tcp", "8080", "A=1", "docker",
     "host", "x.example/a:1", "redis", "running", "stopped", "properties.desired.modules.a", "=", "null",
     "2020-01-01", "\x1b[31m", "\u2028", "\x85", "\ufeff", "- a", "CMD"],
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
KEYS = st.sampled_from(
    ["modulesContent", "content", "$edgeAgent", "$edgeHub", "properties.desired", "modules", "settings",
     "image", "createOptions", "createOptions01", "env", "value", "HostConfig", "Env", "Cmd", "components",
     "ComponentName", "Manifests", "Lifecycle", "Run", "Script", "routes",
     "properties.desired.modules.a.env.B"],
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | TEXTS, inner, max_size=4),
    max_leaves=12,
)
LISTS = st.lists(TEXTS, max_size=3)
PROBE_KEYS = st.sampled_from(["Test", "Interval", "Timeout", "Retries", "StartPeriod", "StartInterval"])
DEVICE_KEYS = st.sampled_from(["PathOnHost", "PathInContainer", "CgroupPermissions", "X"])
MOUNT_KEYS = st.sampled_from(["Type", "Source", "Target", "ReadOnly", "BindOptions"])
BINDINGS = st.lists(
    st.dictionaries(st.sampled_from(["HostIp", "HostPort", "X"]), TEXTS, max_size=3), max_size=2
)
HOST_KEYS = st.sampled_from(
    ["Binds", "Mounts", "Memory", "NanoCpus", "CpuQuota", "CpuPeriod", "PidsLimit", "Devices", "CapAdd",
     "CapDrop", "Privileged", "NetworkMode", "PortBindings", "ReadonlyRootfs", *OF_HOST],
)  # fmt: skip
HOST = st.dictionaries(
    HOST_KEYS | TEXTS,
    JSON
    | LISTS
    | st.lists(st.dictionaries(DEVICE_KEYS | MOUNT_KEYS, SCALARS, max_size=5), max_size=2)
    | st.dictionaries(TEXTS, BINDINGS, max_size=2),
    max_size=5,
)
OPTIONS = st.dictionaries(
    st.sampled_from(["Env", "Cmd", "StopTimeout", "Healthcheck", *OF_CONTAINER]) | TEXTS,
    JSON | LISTS | st.dictionaries(PROBE_KEYS, SCALARS | LISTS, max_size=4),
    max_size=4,
)
CONTAINERS = st.builds(lambda options, host: {**options, "HostConfig": host}, OPTIONS, HOST)
SETTINGS = st.fixed_dictionaries(
    {"image": st.sampled_from(["x.example/a:1", "redis"]) | TEXTS},
    optional={"createOptions": CONTAINERS | CONTAINERS.map(json.dumps) | JSON, "createOptions01": SCALARS},
)
MODULES = st.dictionaries(
    TEXTS,
    st.fixed_dictionaries(
        {"settings": SETTINGS},
        optional={
            "status": SCALARS,
            "restartPolicy": SCALARS | st.just("never"),
            "startupOrder": SCALARS | st.integers(0, 3),
            "env": st.dictionaries(TEXTS, st.fixed_dictionaries({"value": SCALARS}) | JSON, max_size=3),
            "other": JSON,
        },
    ),
    max_size=3,
)
RUNS = st.lists(
    st.sampled_from(
        ["-e A=1", "-e B", "-p 80:80", "-v a:/a", "--mount type=bind,src=/a,dst=/b", "--memory 64m",
         "--cpus 1", "--device /dev/a", "--cap-add ALL", "--restart always", "--privileged", "-it", "-l a=b",
         "--gpus all",
         "--network host", "--health-cmd ok", "--health-interval 1s", "{configuration:/a}"],
    ),
    max_size=5,
).map(lambda words: f"docker run {' '.join(words)} x.example/a:1")  # fmt: skip


def checked(importing: Any, *documents: Any) -> Imported | ImportingError:
    """Import documents as a file gives them; `from_edge` and `from_greengrass` prove what always holds."""
    read = [read_document(json.dumps(one).encode(), "d.json") for one in documents]
    try:
        found: Imported = importing(*read)
    except ImportingError as error:
        refused = error
    else:
        for remark in (*found.not_carried, *found.changed):
            assert remark.path.isprintable()
        return found
    assert refused.where
    assert refused.fix
    return refused


@given(JSON)
def test_any_json_is_read_or_refused(document: Any) -> None:
    checked(from_edge, document)
    checked(from_greengrass, document)


@settings(max_examples=300)
@given(MODULES, JSON, st.booleans())
def test_nothing_of_a_deployment_of_iot_edge_is_lost(modules: Any, rest: Any, dotted: bool) -> None:
    agent: dict[str, Any] = {"properties.desired": {"modules": modules, "runtime": rest}}
    if dotted:
        agent = {f"properties.desired.modules.{name}": one for name, one in modules.items()}
    checked(
        from_edge, {"modulesContent": {"$edgeAgent": agent, "$edgeHub": rest, "other": rest}, "labels": rest}
    )


@settings(max_examples=200)
@given(RUNS | TEXTS, JSON, st.dictionaries(KEYS | TEXTS, JSON, max_size=3))
def test_nothing_of_a_recipe_and_its_deployment_is_lost(script: str, rest: Any, more: dict[str, Any]) -> None:
    lifecycle = {"Run": script, "Setenv": {"B": rest, "C": "x"}, **more}
    recipe = {
        "ComponentName": "a.A",
        "ComponentConfiguration": {"DefaultConfiguration": {"a": rest, "b": 1}},
        "ComponentDependencies": {"a.A": rest, "b": rest},
        "Manifests": [{"Lifecycle": lifecycle, "Artifacts": rest}, rest],
    }
    entry = {"componentVersion": rest, "configurationUpdate": {"merge": rest}, "runWith": rest}
    deployment = {
        "components": {"a.A": entry, "b": rest},
        "iotJobConfiguration": rest,
        "deploymentPolicies": rest,
    }
    checked(from_greengrass, recipe)
    checked(from_greengrass, deployment, recipe)


NAMES = st.sampled_from(["password", "username", "address", "other"])
SECRETS = st.builds(lambda before, after: f"{before}{MARK}{after}", TEXTS, TEXTS)


@given(
    st.dictionaries(TEXTS, st.dictionaries(NAMES, SECRETS, max_size=4), max_size=2),
    st.dictionaries(st.sampled_from(["DB_PASSWORD", "token", "apiKey"]), SECRETS, min_size=1, max_size=3),
    st.booleans(),
)
def test_no_secret_comes_out(credentials: Any, variables: dict[str, str], with_module: bool) -> None:
    options = {"Env": [f"{name}={value}" for name, value in variables.items()]}
    module = {
        "settings": {"image": "x:1", "createOptions": json.dumps(options)},
        "env": {name: {"value": value} for name, value in variables.items()},
        "status": "running" if with_module else "stopped",
    }
    runtime = {"settings": {"registryCredentials": credentials}}
    agent = {"properties.desired": {"runtime": runtime, "modules": {"a": module}}}
    found = checked(from_edge, {"modulesContent": {"$edgeAgent": agent}})
    assert isinstance(found, Imported) == with_module
    assert MARK not in said(found)


def test_a_secret_that_came_out_would_be_seen() -> None:
    module = {"settings": {"image": "x:1", "createOptions": {"Cmd": [MARK]}}}
    agent = {"properties.desired": {"modules": {"a": module}}}
    assert MARK in said(checked(from_edge, {"modulesContent": {"$edgeAgent": agent}}))
