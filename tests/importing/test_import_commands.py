"""`headland import`: what goes where, exit codes, errors in one message; run as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud_hub.cli.app import app
from cloud_hub.importing.errors import ImportFileError, ImportingError, ImportNotCarriedError
from cloud_hub.rollouts.manifest import read_manifest
from tests.importing.importing import CONFIGS, edge, module

PROGRAM = str(Path(sys.executable).parent / "headland")
DEPLOYMENT = str(CONFIGS / "iot-edge-deployment.json")
COMPONENT = str(CONFIGS / "greengrass-deployment.json")
RECIPE = str(CONFIGS / "greengrass-recipe.yaml")


def headland(*words: str) -> tuple[str, str]:
    """Run `headland import`; return what it printed and what it said aside. Its error leaves as it is."""
    result = CliRunner().invoke(app, ["import", *words])
    assert "not-a-real" not in result.output
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


def as_a_person(*words: str, code: int = 1) -> tuple[str, str]:
    """Run the program itself; return what it printed and what it said aside."""
    done = subprocess.run([PROGRAM, "import", *words], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def test_the_manifest_alone_is_printed_and_the_rest_is_said_aside() -> None:
    printed, aside = headland("iot-edge", DEPLOYMENT)
    manifest, _ = read_manifest(printed)
    assert manifest.metadata.name == "bakery-ovens"
    assert "not carried over: 11" in aside
    assert "$edgeHub['properties.desired'].routes.frames\n    a route: Headland has no routes" in aside
    assert "headland image register camera --from 2.3" in aside


def test_a_manifest_goes_into_a_file(tmp_path: Path) -> None:
    out = tmp_path / "rollout.yaml"
    printed, aside = headland(
        "greengrass", COMPONENT, "--recipe", RECIPE, "--file", str(out), "--name", "ovens"
    )
    assert aside == ""
    assert read_manifest(out.read_text())[0].metadata.name == "ovens"
    assert f"{RECIPE}: ComponentVersion" in printed
    assert f"headland rollout plan --file {out}" in printed


def test_json_has_both(tmp_path: Path) -> None:
    printed, aside = headland("iot-edge", DEPLOYMENT, "--output", "json")
    found = json.loads(printed)
    read_manifest(found["manifest"])
    assert aside == ""
    assert found["file"] is None
    assert {"path", "what", "why", "fix"} <= found["not_carried"][0].keys()
    out = str(tmp_path / "r.yaml")
    assert json.loads(headland("iot-edge", DEPLOYMENT, "-o", "json", "-f", out)[0])["file"] == out


def test_strict_fails_with_its_code_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "rollout.yaml"
    printed, aside = as_a_person("iot-edge", DEPLOYMENT, "--file", str(out), "--strict")
    assert "[import-not-carried]" in aside
    assert "not carried over: 11" in printed
    assert "written;" not in printed
    assert not out.exists()
    strict = CliRunner().invoke(app, ["import", "iot-edge", DEPLOYMENT, "--strict"])
    assert isinstance(strict.exception, ImportNotCarriedError)
    assert strict.stdout == ""


def test_strict_passes_where_all_is_carried_over(tmp_path: Path) -> None:
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps(edge({"a": module()})))
    read_manifest(headland("iot-edge", str(whole), "--strict")[0])


def test_options_reach_the_manifest(tmp_path: Path) -> None:
    source = tmp_path / "deployment.template.json"
    document = edge({"a": module({"Cmd": ["${MODE}"]}), "b": {"settings": {"image": "${MODULES.b}"}}})
    source.write_text(json.dumps(document))
    words = ["--set", "MODE=deck", "--set", "MODULES.b=x.example/b:1", "--image", "x.example/b:1=b:7"]
    printed, _ = headland("iot-edge", str(source), *words, "--device", "cam-1", "--tag", "site=lyon")
    spec = read_manifest(printed)[0].spec
    assert spec.target.devices == ["cam-1"]
    assert spec.target.where is not None
    assert spec.modules["a"].command == ["deck"]
    assert spec.modules["b"].image == "b:7"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["iot-edge", "gone.json"], "import-file"),
        (["iot-edge", "."], "import-file"),
        (["iot-edge", DEPLOYMENT, "--file", "/proc/no/rollout.yaml"], "import-file"),
        (["iot-edge", RECIPE], "import-invalid"),
        (["iot-edge", COMPONENT], "import-invalid"),
        (["greengrass", DEPLOYMENT], "import-invalid"),
        (["greengrass", COMPONENT], "import-nothing"),
        (["iot-edge", DEPLOYMENT, "--set", "A=1"], "import-option-refused"),
        (["iot-edge", DEPLOYMENT, "--image", "a:1=b"], "import-option-refused"),
        (["iot-edge", DEPLOYMENT, "--image", "a:1=b:1"], "import-option-refused"),
        (["iot-edge", DEPLOYMENT, "--device", "A B"], "import-option-refused"),
        (["iot-edge", DEPLOYMENT, "--name", "A B"], "import-option-refused"),
    ],
)
def test_an_error_has_its_code_its_place_and_what_to_do(words: list[str], error: str) -> None:
    with pytest.raises(ImportingError) as caught:
        headland(*words)
    assert caught.value.code == error
    assert caught.value.where
    assert caught.value.fix


def test_an_error_is_one_message() -> None:
    printed, aside = as_a_person("iot-edge", RECIPE, "--output", "json")
    told = json.loads(aside)
    assert (printed, told["error"], told["where"]) == ("", "import-invalid", RECIPE)
    assert told["detail"].startswith("not JSON: line 1")


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ImportFileError):
        headland("iot-edge", "/dev/zero")


def test_wrong_usage_is_said_as_such() -> None:
    as_a_person("iot-edge", DEPLOYMENT, "--set", "A", code=2)


def test_without_the_libraries_of_the_hub_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ImportError('No module named yaml', name='yaml')\n")
    source = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from cloud_hub.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", source, "import", "iot-edge", DEPLOYMENT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "[import-unavailable]" in done.stderr
    assert "pip install" in done.stderr
