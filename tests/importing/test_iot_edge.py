"""Deployments of Azure IoT Edge: what becomes of modules, routes, twins, order and target."""

from typing import Any

import pytest

from cloud_hub.importing.errors import ImportInvalidError, ImportNothingError, ImportOptionError
from tests.importing.importing import IMAGE, edge, from_edge, left, module, only, said, sample, spec


def test_the_sample_becomes_a_rollout() -> None:
    found = from_edge(sample("iot-edge-deployment.json"))
    modules = spec(found)["modules"]
    assert list(modules) == ["oven-camera", "crust-scorer"]
    assert modules["oven-camera"] == {
        "image": "camera:1",
        "env": {"FPS": "10"},
        "limits": {"memory": 134217728},
        "lifecycle": {"restart": "always", "update": "stop-first"},
        "access": {
            "devices": [{"path": "/dev/video0", "access": "rw"}],
            "volumes": [
                {"target": "/frames", "name": "frames"},
                {"target": "/etc/oven", "hostPath": "/srv/oven", "readOnly": True},
            ],
        },
    }
    assert modules["crust-scorer"]["lifecycle"]["dependsOn"] == ["oven-camera"]
    assert modules["crust-scorer"]["command"] == ["--threshold", "0.8"]
    assert spec(found)["target"] == {
        "where": [{"tag": "oven", "values": ["deck"]}, {"tag": "site", "values": ["lyon"]}]
    }


def test_what_the_sample_leaves_out_is_listed_by_path() -> None:
    found = from_edge(sample("iot-edge-deployment.json"))
    assert [one.path.rpartition("desired']")[2] for one in found.not_carried] == [
        ".runtime.settings.minDockerVersion",
        ".runtime.settings.registryCredentials.ovens",
        ".systemModules.edgeAgent",
        ".systemModules.edgeHub",
        ".modules.ovenCamera.env.CAMERA_PASSWORD.value",
        ".modules.ovenCamera.version",
        ".modules.crustScorer.settings.createOptions.HostConfig.LogConfig.Type",
        ".routes.frames",
        ".storeAndForwardConfiguration.timeToLiveSecs",
        ".interval",
        "priority",
    ]
    assert "no routes" in left(found, "routes.frames").why
    assert "no twins" in left(found, "interval").why


def test_no_secret_of_the_sample_is_given_out() -> None:
    assert "not-a-real" not in said(from_edge(sample("iot-edge-deployment.json")))


@pytest.mark.parametrize("policy", ["always", "on-unhealthy", "on-failure", "never"])
def test_restart_policies_are_the_same(policy: str) -> None:
    assert only(from_edge(edge({"a": module(restartPolicy=policy)})))["lifecycle"]["restart"] == policy


def test_a_restart_policy_that_there_is_not_is_listed() -> None:
    found = from_edge(edge({"a": module(restartPolicy="sometimes")}))
    assert "lifecycle" not in only(found)
    assert "always" in left(found, "restartPolicy").why


def test_a_stopped_module_is_left_out_whole() -> None:
    found = from_edge(edge({"a": module(), "b": module({"Cmd": ["x"]}, status="stopped")}))
    assert list(spec(found)["modules"]) == ["a"]
    assert "stopped" in left(found, "modules.b").why


def test_each_module_waits_for_those_of_the_next_lower_order() -> None:
    orders: dict[str, Any] = {"a": 0, "b": 3, "c": 3, "d": 7}
    modules = {name: module(startupOrder=order) for name, order in orders.items()} | {"e": module()}
    found = spec(from_edge(edge(modules)))["modules"]
    waits = {name: one.get("lifecycle", {}).get("dependsOn", []) for name, one in found.items()}
    assert waits == {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["d"]}


@pytest.mark.parametrize("order", [-1, 2**32, "1", 1.5, True, None])
def test_an_order_that_is_none_is_listed(order: object) -> None:
    found = from_edge(edge({"a": module(startupOrder=order), "b": module(startupOrder=1)}))
    assert left(found, "a.startupOrder")


@pytest.mark.parametrize(
    ("kind", "why"),
    [({"settings": {}}, "no image"), (7, "no image"), (module(type="vm"), "type docker")],
)
def test_what_is_no_container_is_left_out_whole(kind: object, why: str) -> None:
    assert why in left(from_edge(edge({"a": module(), "b": kind})), "modules.b").why


def test_nothing_left_is_an_error_that_tells_each_path() -> None:
    document = edge(
        {"b": module(status="stopped")}, **{"$edgeHub": {"properties.desired": {"routes": {"r": "FROM"}}}}
    )
    with pytest.raises(ImportNothingError) as caught:
        from_edge(document)
    assert [fault.field.rpartition(".")[2] for fault in caught.value.errors] == ["b", "r"]


@pytest.mark.parametrize("document", [None, 7, "x", [], {}, {"modulesContent": 7}, {"modules": {}}])
def test_what_is_no_deployment_is_refused(document: object) -> None:
    with pytest.raises(ImportInvalidError) as caught:
        from_edge(document)
    assert caught.value.where == "d.json"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("condition", "target"),
    [
        ("tags.site='lyon'", {"where": [{"tag": "site", "values": ["lyon"]}]}),
        ("deviceId = 'cam-1'", {"devices": ["cam-1"]}),
        (
            "tags.a='1' AND tags.b='2'",
            {"where": [{"tag": "a", "values": ["1"]}, {"tag": "b", "values": ["2"]}]},
        ),
        ("tags.site='lyon' or tags.site='nice'", None),
        ("deviceId='a' and tags.b='2'", None),
        ("tags.properties.x > 3", None),
        ("tags.a=''", None),
        ("*", None),
    ],
)
def test_conditions_of_tags_and_names_are_targets(condition: str, target: object) -> None:
    found = from_edge({"id": "ovens", "content": edge({"a": module()}), "targetCondition": condition})
    assert spec(found)["target"] == target or spec(found)["target"] == {"where": [{"tag": "ovens"}]}
    assert (target is None) == any(one.path == "targetCondition" for one in found.not_carried)


def test_chosen_devices_go_before_the_condition() -> None:
    document = {"content": edge({"a": module()}), "targetCondition": "tags.a='1'"}
    found = from_edge(document, devices=["cam-1"], tags=[("site", "lyon")])
    assert spec(found)["target"] == {"devices": ["cam-1"], "where": [{"tag": "site", "values": ["lyon"]}]}
    assert left(found, "targetCondition")


def test_without_any_target_a_tag_of_the_rollouts_name_is_asked_for() -> None:
    found = from_edge(edge({"a": module()}), name="ovens")
    assert spec(found)["target"] == {"where": [{"tag": "ovens"}]}
    assert any(line.startswith("headland device tag DEVICE ovens=") for line in found.first)


@pytest.mark.parametrize("chosen", [{"name": "No"}, {"devices": ["No"]}, {"tags": [("a", "")]}])
def test_choices_that_cannot_be_are_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(ImportOptionError):
        from_edge(edge({"a": module()}), **chosen)


def test_images_get_names_and_versions_of_the_workspace() -> None:
    images = ["a.example/x/cam:1", "a.example/x/cam:2", "b.example/cam:1", "a.example/x/cam:1", "redis"]
    modules = {f"m{n}": {"settings": {"image": image}} for n, image in enumerate(images)}
    found = from_edge(edge(modules))
    names = [one["image"] for one in spec(found)["modules"].values()]
    assert names == ["cam:1", "cam:2", "cam-2:1", "cam:1", "redis:1"]
    assert "docker://docker.io/library/redis:latest docker://HUB/WORKSPACE/redis:latest" in " ".join(
        found.first
    )


def test_an_image_by_digest_is_copied_by_it() -> None:
    digest = f"sha256:{'a' * 64}"
    found = from_edge(edge({"a": {"settings": {"image": f"x.example/cam@{digest}"}}}))
    assert only(found)["image"] == "cam:1"
    assert any(f"docker://x.example/cam@{digest}" in line for line in found.first)


def test_a_chosen_image_takes_the_place() -> None:
    found = from_edge(edge({"a": module()}), images={IMAGE: "eye:4"})
    assert only(found)["image"] == "eye:4"
    assert not any("skopeo" in line for line in found.first)
    with pytest.raises(ImportOptionError):
        from_edge(edge({"a": module()}), images={"other": "eye:4"})


def test_names_that_fall_together_stay_apart() -> None:
    found = from_edge(edge({"ovenCamera": module(), "oven_camera": module(), "ÖÖ": module()}))
    assert list(spec(found)["modules"]) == ["oven-camera", "oven-camera-2", "module"]


def test_more_modules_than_a_rollout_may_have_are_listed() -> None:
    found = from_edge(edge({f"m{number}": module() for number in range(101)}))
    assert len(spec(found)["modules"]) == 100
    assert "at most 100" in left(found, "m100").why
