"""Layered deployments with dotted keys, options in parts, and templates with placeholders."""

import json
from typing import Any

import pytest

from cloud_hub.importing.errors import ImportNothingError, ImportOptionError
from tests.importing.importing import IMAGE, edge, from_edge, left, module, only, said, spec


def layer(**keys: Any) -> dict[str, Any]:
    """Return a layer: what stands under dotted keys of ``$edgeAgent``; ``__`` stands for a dot."""
    return {"content": {"modulesContent": {"$edgeAgent": {k.replace("__", "."): v for k, v in keys.items()}}}}


def test_a_module_under_a_dotted_key_is_read() -> None:
    found = from_edge(layer(properties__desired__modules__camera=module({"Cmd": ["x"]})))
    assert spec(found)["modules"] == {"camera": {"image": "camera:1", "command": ["x"]}}


def test_several_keys_of_one_module_are_one_module() -> None:
    document = layer(
        properties__desired__modules__camera=module(),
        properties__desired__modules__camera__env__FPS={"value": "10"},
        properties__desired__modules__camera__restartPolicy="never",
    )
    assert only(from_edge(document)) == {
        "image": "camera:1",
        "env": {"FPS": "10"},
        "lifecycle": {"restart": "never"},
    }


def test_paths_are_those_of_the_file() -> None:
    found = from_edge(layer(properties__desired__modules__camera=module(version="1")))
    assert left(found, "version").path == (
        "content.modulesContent.$edgeAgent['properties.desired.modules.camera'].version"
    )


def test_a_layer_that_changes_another_deployments_module_is_listed() -> None:
    document = layer(properties__desired__modules__camera__env__FPS={"value": "10"})
    with pytest.raises(ImportNothingError) as caught:
        from_edge(document)
    assert "merge it into that deployment" in said(caught.value)
    both = layer(
        properties__desired={"modules": {"a": module()}},
        properties__desired__modules__camera__env__FPS={"value": "10"},
    )
    assert "no image" in left(from_edge(both), "env.FPS']").why


def test_what_two_keys_say_is_listed() -> None:
    document = layer(
        properties__desired={"modules": {"a": module(restartPolicy="never")}},
        properties__desired__modules__a__restartPolicy="always",
    )
    found = from_edge(document)
    assert only(found)["lifecycle"]["restart"] == "never"
    assert "says the same" in left(found, "a.restartPolicy']").why


def test_a_dotted_route_is_listed() -> None:
    document = edge(
        {"a": module()}, **{"$edgeHub": {"properties.desired.routes.up": "FROM /* INTO $upstream"}}
    )
    assert "no routes" in left(from_edge(document), "routes.up']").why


def test_options_in_parts_are_one_text() -> None:
    text = json.dumps({"Env": ["A=1"], "Hostname": "x"})
    settings = {
        "image": IMAGE,
        "createOptions": text[:9],
        "createOptions01": text[9:12],
        "createOptions02": text[12:],
    }
    found = from_edge(edge({"a": {"settings": settings}}))
    assert only(found)["env"] == {"A": "1"}
    assert left(found, "createOptions.Hostname")


@pytest.mark.parametrize("options", ["", "{}", {}])
def test_empty_options_say_nothing(options: object) -> None:
    found = from_edge(edge({"a": {"settings": {"image": IMAGE, "createOptions": options}}}))
    assert found.not_carried == ()


@pytest.mark.parametrize("options", ["{", "7", "[]", "null", '{"A": 1, "A": 2}', "[" * 90, 7, None])
def test_options_that_are_no_object_are_listed(options: object) -> None:
    found = from_edge(edge({"a": {"settings": {"image": IMAGE, "createOptions": options}}}))
    assert left(found, "createOptions")


def template(image: str = "${MODULES.camera}", **env: str) -> dict[str, Any]:
    """Return a template of one module."""
    one = {"settings": {"image": image, "createOptions": {"Env": [f"{k}={v}" for k, v in env.items()]}}}
    return {"$schema-template": "4.0.0", **edge({"a": one, "b": module()})}


def test_a_placeholder_is_filled_in() -> None:
    values = {"MODULES.camera": "x.example/eye:1", "SPEED": "9"}
    found = spec(from_edge(template(FPS="$SPEED", ALSO="${SPEED}0"), values))["modules"]["a"]
    assert found == {"image": "eye:1", "env": {"FPS": "9", "ALSO": "90"}}


def test_a_placeholder_without_a_value_is_listed_and_named() -> None:
    found = from_edge(template("x:1", FPS="$SPEED"))
    assert "SPEED" in left(found, "Env[0]").why
    assert "--set" in left(found, "Env[0]").fix
    assert "env" not in spec(found)["modules"]["a"]


def test_a_module_whose_image_is_a_placeholder_is_left_out() -> None:
    found = from_edge(template())
    assert list(spec(found)["modules"]) == ["b"]
    assert "MODULES.camera" in left(found, "a.settings.image").why
    assert "--set" in left(found, "modules.a").fix


def test_options_may_be_a_placeholder_as_a_whole() -> None:
    document = edge({"a": module("${OPTIONS}")})
    assert only(from_edge(document, {"OPTIONS": '{"Cmd": ["x"]}'}))["command"] == ["x"]
    assert "OPTIONS" in left(from_edge(document), "createOptions").why


def test_a_number_in_the_options_may_be_a_placeholder() -> None:
    document = edge({"a": module('{"StopTimeout": ${GRACE}}')})
    assert only(from_edge(document, {"GRACE": "7"}))["stopGraceSeconds"] == 7


def test_a_variable_of_a_shell_is_left_as_it_is_where_no_template_is() -> None:
    document = edge({"a": module({"Cmd": ["sh", "-c", "echo $HOME"]})})
    assert only(from_edge(document))["command"][2] == "echo $HOME"


def test_what_is_meant_as_it_stands_is_given_as_it_stands() -> None:
    document = edge({"a": module({"Cmd": ["echo ${HOME}"]})})
    assert left(from_edge(document), "Cmd[0]")
    assert only(from_edge(document, {"HOME": "${HOME}"}))["command"] == ["echo ${HOME}"]


def test_a_value_for_no_placeholder_is_refused() -> None:
    with pytest.raises(ImportOptionError) as caught:
        from_edge(template("x:1"), {"SPEEED": "9"})
    assert "SPEEED" in str(caught.value)


def test_what_a_secret_has_like_a_placeholder_is_not_shown() -> None:
    found = from_edge(template("x:1", DB="pass ${hunter2}", DB_PASSWORD="${hunter2}"))
    assert "hunter2" in left(found, "Env[0]").why
    assert "hunter2" not in left(found, "Env[1]").why


def test_a_secret_that_fills_a_placeholder_is_kept_back() -> None:
    found = from_edge(template("x:1", DB_PASSWORD="$PW"), {"PW": "hunter2"})
    assert "secret" in left(found, "Env[0]").why
    assert "hunter2" not in said(found)
