"""Deployments and recipes of Greengrass v2: what becomes of containers, limits, values and order."""

from typing import Any

import pytest

from cloud_hub.importing.errors import ImportInvalidError, ImportNothingError, ImportOptionError
from tests.importing.importing import from_greengrass, left, only, recipe, said, sample, spec

RUN = "docker run x.example/camera:2"
NAME = "com.example.Camera"


def deployment(**keys: Any) -> dict[str, Any]:
    """Return a deployment of the camera."""
    return {"deploymentName": "ovens", "components": {NAME: keys.pop("component", {})}, **keys}


def test_the_sample_becomes_a_rollout() -> None:
    found = from_greengrass(sample("greengrass-deployment.json"), sample("greengrass-recipe.yaml"))
    assert spec(found)["target"] == {"devices": ["oven-7"]}
    assert spec(found)["strategy"] == {"perMinute": 20, "deadlineSeconds": 1800}
    assert only(found) == {
        "image": "crust-scorer:1",
        "env": {"MODE": "deck", "SITE": "lyon"},
        "command": ["--threshold", "0.8"],
        "limits": {"memory": 209715200, "cpus": 0.5},
        "lifecycle": {"restart": "on-failure", "longestDeferralSeconds": 120, "update": "stop-first"},
        "access": {
            "volumes": [{"target": "/frames", "name": "frames"}],
            "devices": [{"path": "/dev/video0", "access": "rwm"}],
            "ports": [{"name": "tcp-80-8080", "port": 8080, "address": "127.0.0.1"}],
        },
    }


def test_what_the_sample_leaves_out_is_listed_by_file_and_path() -> None:
    found = from_greengrass(sample("greengrass-deployment.json"), sample("greengrass-recipe.yaml"))
    assert {f"{one.file} {one.path}" for one in found.not_carried} == {
        "0.json components['com.example.CrustScorer'].runWith.posixUser",
        "0.json components['com.example.CrustScorer'].runWith.systemResourceLimits.memory",
        "0.json components['com.example.CrustScorer'].configurationUpdate.merge.labels[0]",
        "0.json components['aws.greengrass.DockerApplicationManager']",
        "1.json ComponentVersion",
        "1.json ComponentPublisher",
        "1.json ComponentConfiguration.DefaultConfiguration.threshold",
        "1.json ComponentConfiguration.DefaultConfiguration.dashboard",
        "1.json ComponentDependencies['aws.greengrass.DockerApplicationManager']",
        "1.json Manifests[0].Lifecycle.Run.Script.Name",
        "1.json Manifests[0].Lifecycle.Shutdown",
        "1.json Manifests[1]",
    }


def test_a_recipe_alone_is_a_rollout_of_one_module() -> None:
    found = from_greengrass(sample("greengrass-recipe.yaml"))
    assert only(found)["command"] == ["--threshold", "0.5"]
    assert spec(found)["target"] == {"where": [{"tag": "com-example-crust-scorer"}]}


def test_keys_of_a_recipe_may_have_any_case() -> None:
    manifest = {"lifecycle": {"run": {"script": RUN}}}
    found = from_greengrass({"componentName": NAME, "manifests": [manifest]})
    assert only(found)["image"] == "camera:1"


def test_a_component_without_its_recipe_is_listed() -> None:
    document = {"components": {NAME: {"componentVersion": "1.0.0"}, "other": {"componentVersion": "1.0.0"}}}
    found = from_greengrass(document, recipe(RUN))
    assert "--recipe" in left(found, "components.other").fix
    with pytest.raises(ImportNothingError) as caught:
        from_greengrass(document)
    assert len(caught.value.errors) == 2


def test_a_deployment_with_the_recipe_of_another_version_says_so() -> None:
    document = deployment(component={"componentVersion": "2.0.0"})
    found = from_greengrass(document, recipe(RUN, ComponentVersion="1.0.0"))
    assert "another version" in left(found, "componentVersion").why


@pytest.mark.parametrize("document", [None, 7, [], {}, {"components": 7}, {"Manifests": []}])
def test_what_is_neither_is_refused(document: object) -> None:
    with pytest.raises(ImportInvalidError) as caught:
        from_greengrass(document)
    assert caught.value.where == "0.json"


def test_recipes_have_to_be_recipes_of_different_components() -> None:
    second: Any
    for second in ({"components": {}}, recipe(RUN)):
        with pytest.raises(ImportInvalidError) as caught:
            from_greengrass(recipe(RUN), second)
        assert caught.value.where == "1.json"


def test_limits_of_a_deployment_are_the_containers() -> None:
    limits = {"memory": 65536, "cpus": 2, "swap": 1}
    found = from_greengrass(deployment(component={"runWith": {"systemResourceLimits": limits}}), recipe(RUN))
    assert only(found)["limits"] == {"memory": 67108864, "cpus": 2}
    assert left(found, "systemResourceLimits.swap")


@pytest.mark.parametrize("memory", [1, "x", True, None, 10**400])
def test_limits_that_cannot_be_are_listed_or_judged_by_the_hub(memory: object) -> None:
    limits = {"systemResourceLimits": {"memory": memory}}
    found = from_greengrass(deployment(component={"runWith": limits}), recipe(RUN))
    assert ("limits" in only(found)) == (memory == 10**400)


def test_dependencies_are_an_order_and_a_circle_is_broken() -> None:
    first = recipe(RUN, "a.One", ComponentDependencies={"a.Two": {"VersionRequirement": ">=1"}})
    second = recipe(RUN, "a.Two", ComponentDependencies={"a.One": {"DependencyType": "SOFT"}, "gone": {}})
    found = from_greengrass(first, second)
    waits = {name: one["lifecycle"].get("dependsOn", []) for name, one in spec(found)["modules"].items()}
    assert waits == {"one": ["two"], "two": []}
    assert "wait for the other" in left(found, "['a.One']").why
    assert "no such module" in left(found, "gone").why


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("python3 -u {artifacts:path}/main.py", "placeholder"),
        ("python3 main.py", "no single"),
        ("docker compose up", "no single"),
        ("docker load -i x.tar && docker run x:1", "shell"),
        ("docker run -e A=$HOME x:1", "shell"),
        ("docker run --nonsense x y", "not known"),
        ("docker run -e 'A x:1", "quotes"),
        ("docker run -e", "no value"),
        ("docker run --rm", "no image"),
    ],
)
def test_a_script_that_is_no_plain_run_is_listed(script: str, why: str) -> None:
    one = recipe(script)
    one["Manifests"][0]["Artifacts"] = [{"URI": "docker:x.example/camera:2"}]
    found = from_greengrass(one)
    assert only(found) == {"image": "camera:1"}
    assert why in left(found, "Lifecycle.Run").why


def test_a_component_without_a_container_is_left_out_whole() -> None:
    one = recipe("python3 main.py", "a.Script")
    one["Manifests"][0]["Artifacts"] = [{"URI": "s3://bucket/main.py"}]
    found = from_greengrass(recipe(RUN), one)
    assert len(spec(found)["modules"]) == 1
    assert "runs one container" in left(found, "the document").why


@pytest.mark.parametrize("kind", ["aws.greengrass.lambda", "aws.greengrass.plugin"])
def test_components_of_other_types_are_left_out(kind: str) -> None:
    with pytest.raises(ImportNothingError):
        from_greengrass(recipe(RUN, ComponentType=kind))


def test_values_of_the_configuration_are_filled_in_and_secrets_are_not() -> None:
    configuration = {"DefaultConfiguration": {"a": {"fps": 5}, "password": "hunter2", "on": True}}
    script = "docker run -e F={configuration:/a/fps} -e DB={configuration:/password} x:1 {configuration:/on}"
    found = from_greengrass(recipe(script, ComponentConfiguration=configuration))
    assert only(found)["env"] == {"F": "5"}
    assert only(found)["command"] == ["true"]
    assert "secret" in left(found, "DefaultConfiguration.password").why
    assert "secret" in left(found, "Env[1]").why
    assert "hunter2" not in said(found)


def test_a_placeholder_of_a_script_is_given() -> None:
    script = "docker run -v {work:path}/d:/d x:1"
    found = from_greengrass(recipe(script), values={"work:path": "/srv"})
    assert only(found)["access"]["volumes"] == [{"target": "/d", "hostPath": "/srv/d"}]
    with pytest.raises(ImportOptionError):
        from_greengrass(recipe(RUN), values={"work:path": "/srv"})


@pytest.mark.parametrize(
    ("options", "restart"),
    [("", "on-failure"), ("--restart always ", "always"), ("--restart=on-failure:5 ", "on-failure"),
     ("--restart no ", "never"), ("--restart unless-stopped ", "always")],
)  # fmt: skip
def test_restarts_are_those_of_the_command(options: str, restart: str) -> None:
    assert only(from_greengrass(recipe(f"docker run {options}x:1")))["lifecycle"]["restart"] == restart


def test_an_environment_of_the_script_is_handed_on_only_where_the_command_does() -> None:
    one = recipe("docker run -e SITE -e GONE x:1")
    one["Manifests"][0]["Lifecycle"]["Setenv"] = {"SITE": "lyon", "OTHER": "x"}
    found = from_greengrass(one)
    assert only(found)["env"] == {"SITE": "lyon"}
    assert left(found, "Setenv.OTHER")
    assert left(found, "Env.GONE")


def test_policies_of_a_deployment() -> None:
    policies = {
        "failureHandlingPolicy": "DO_NOTHING",
        "componentUpdatePolicy": {"action": "SKIP_NOTIFY_COMPONENTS", "timeoutInSeconds": 5},
        "configurationValidationPolicy": {"timeoutInSeconds": 5},
    }
    job = {
        "jobExecutionsRolloutConfig": {"maximumPerMinute": 0, "exponentialRate": {"baseRatePerMinute": 5}},
        "abortConfig": {"criteriaList": []},
    }
    group = "arn:aws:iot:x:1:thinggroup/ovens"
    document = deployment(
        deploymentPolicies=policies, iotJobConfiguration=job, targetArn=group, tags={"a": "b"}
    )
    found = from_greengrass(document, recipe(RUN))
    for ending in (
        "failureHandlingPolicy", "timeoutInSeconds", "configurationValidationPolicy", "maximumPerMinute",
        "exponentialRate", "abortConfig", "targetArn", "tags",
    ):  # fmt: skip
        assert left(found, ending)
    assert "strategy" not in spec(found)
    assert spec(found)["target"] == {"where": [{"tag": "ovens"}]}
