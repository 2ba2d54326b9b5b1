"""Bad input of every kind: one clear error (what, where, why, what to do), exit code 1, nothing changed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import World, command, manifest


def state(world: World) -> str:
    """Return all that a command could have changed, as one text to compare."""
    listing: list[Callable[[], object]] = [
        world.workspace.models, world.workspace.images, world.workspace.devices,
        world.workspace.rollouts, world.workspace.activities,
    ]  # fmt: skip
    return repr([read() for read in listing])


def refused(world: World, *arguments: str) -> str:
    """Run a command that must be refused and change nothing; return what it said."""
    before = state(world)
    done = command(*arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert state(world) == before
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def apply(world: World, path: Path, text: str) -> str:
    path.write_text(text)
    return refused(world, "headland", "rollout", "apply", "--file", str(path))


@pytest.fixture
def invited(world: World, tmp_path: Path) -> str:
    """A device that is known in the workspace."""
    if not any(device.id == "known-1" for device in world.workspace.devices()):
        world.workspace.invite_device("known-1")
    return "known-1"


def test_an_unknown_key_in_a_manifest(world: World, invited: str, tmp_path: Path) -> None:
    path = tmp_path / "rollout.yaml"
    said = apply(world, path, manifest(invited, "digits:1", imagee="digits:1"))
    assert f"error: {path}: the manifest is not valid [manifest-invalid]" in said
    assert "line 11, spec.modules.scorer.imagee: unknown key" in said
    assert "docs/rollouts.md" in said


def test_an_image_that_is_missing(world: World, invited: str, tmp_path: Path) -> None:
    said = apply(world, tmp_path / "r.yaml", manifest(invited, "digits:99"))
    assert "line 10, spec.modules.scorer.image: no such image in this workspace" in said
    assert "headland image list" in said


def test_a_wrong_digest(world: World, invited: str, tmp_path: Path) -> None:
    said = apply(world, tmp_path / "r.yaml", manifest(invited, "digits:1@sha256:" + "0" * 64))
    assert "line 10, spec.modules.scorer.image: the registered image has another digest" in said


def test_the_right_digest_is_taken(world: World, invited: str, tmp_path: Path) -> None:
    digest = world.workspace.image("digits:1").digest
    (tmp_path / "r.yaml").write_text(manifest(invited, f"digits:1@{digest}"))
    assert command("headland", "rollout", "apply", "--file", str(tmp_path / "r.yaml")).returncode == 0


def test_a_device_that_is_not_there(world: World, tmp_path: Path) -> None:
    said = apply(world, tmp_path / "r.yaml", manifest("nobody-1", "digits:1"))
    assert "line 7, spec.target.devices.0: no such device in this workspace" in said


def test_one_device_that_is_missing_changes_nothing_for_the_others(
    world: World, invited: str, tmp_path: Path
) -> None:
    apply(world, tmp_path / "r.yaml", manifest(f"{invited}, nobody-1", "digits:1"))


@pytest.mark.parametrize("device", ["Cam-1", "cam/1", "cam.1", "-cam", "a" * 64])
def test_a_device_id_that_is_not_allowed(world: World, tmp_path: Path, device: str) -> None:
    file = tmp_path / "x.json"
    said = refused(world, "headland", "device", "invite", "--file", str(file), "--", device)
    assert "[invalid-name]" in said
    assert "a-z, 0-9" in said
    assert not file.exists()


def test_a_token_that_is_used_twice(world: World, tmp_path: Path) -> None:
    file = tmp_path / "invitation.json"
    world.stage.headland("device", "invite", "twice-1", "--file", str(file))
    first = command("headland-agent", "enroll", "--invitation", str(file), "--state-dir", str(tmp_path / "a"))
    assert first.returncode == 0, first.stderr
    said = refused(
        world, "headland-agent", "enroll", "--invitation", str(file), "--state-dir", str(tmp_path / "b")
    )
    assert "the token was used before" in said
    assert "[token-used]" in said
    assert "headland device invite" in said
    assert not (tmp_path / "b" / "identity" / "device.json").exists()
    token = json.loads(file.read_text())["token"]
    assert token not in said


def test_an_invitation_of_another_hub_is_found_out_by_its_fingerprint(world: World, tmp_path: Path) -> None:
    file = tmp_path / "invitation.json"
    world.stage.headland("device", "invite", "other-1", "--file", str(file))
    invitation = json.loads(file.read_text()) | {"ca_sha256": "00" * 32}
    file.write_text(json.dumps(invitation))
    said = refused(world, "headland-agent", "enroll", "--invitation", str(file), "--state-dir", str(tmp_path))
    assert "not the one of the invitation" in said


def test_a_model_file_that_is_not_onnx(world: World, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("I am a model, honestly")
    said = refused(world, "headland", "model", "register", "digits", str(path))
    assert "error: model.onnx: the file is not an ONNX model" in said
    assert "[not-onnx]" in said
    assert "Export the model" in said


def test_a_model_file_that_is_not_there(world: World, tmp_path: Path) -> None:
    said = refused(world, "headland", "model", "register", "digits", str(tmp_path / "none.onnx"))
    assert f"error: {tmp_path / 'none.onnx'}: no such file" in said


def test_a_hub_that_is_not_there(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = json.loads((world.folder / "context.json").read_text())
    elsewhere = tmp_path / "context.json"
    elsewhere.write_text(json.dumps(context | {"hub": "https://localhost:1"}))
    monkeypatch.setenv("HEADLAND_CONTEXT", str(elsewhere))
    done = command("headland", "model", "list")
    assert done.returncode == 1
    assert "error: https://localhost:1: no answer from the hub" in done.stderr
    assert "[hub-unreachable]" in done.stderr
    assert "headland hub up" in done.stderr


def test_no_hub_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADLAND_CONTEXT", str(tmp_path / "none.json"))
    done = command("headland", "model", "list")
    assert (done.returncode, "[no-context]" in done.stderr) == (1, True)


def test_an_image_of_a_model_that_is_not_there(world: World) -> None:
    said = refused(world, "headland", "image", "build", "digits", "--model", "nothing:1")
    assert "nothing:1: no such model in this workspace [not-found]" in said


def test_a_script_that_is_not_python_fails_the_build_with_its_line(world: World, tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text("def init(:\n")
    done = command("headland", "image", "build", "broken", "--model", "digits:1", "--script", str(script))
    assert done.returncode == 1
    assert "[activity-failed]" in done.stderr
    assert "line 1" in done.stderr
    assert all(image.name != "broken" for image in world.workspace.images())


def test_errors_are_json_where_json_is_asked_for(world: World) -> None:
    done = command("headland", "model", "show", "nothing", "--output", "json")
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"] == "not-found"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "colour"),
        ("driver = 'vm'", "driver"),
        ("state_dir = 5", "state_dir"),
        ("a = [", "not TOML"),
        ("report_interval_s = -1", "report_interval_s"),
        ("[outbox]\nmax_bytes = 1", "outbox.max_bytes"),
    ],
)
def test_agent_settings_that_are_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    done = command("headland-agent", "run", "--config", str(path), "--state-dir", str(tmp_path / "s"))
    if words == "state_dir":
        done = command("headland-agent", "run", "--config", str(path))
    assert done.returncode == 1
    assert f"error: {path}: " in done.stderr
    assert words in done.stderr
    assert "[settings-invalid]" in done.stderr


def test_a_second_hub_on_the_same_folder_is_refused(world: World) -> None:
    said = refused(world, "headland", "hub", "up", "--data-dir", str(world.stage.data_dir))
    assert "another hub works on this data folder" in said


def test_no_secret_stands_in_a_log_or_an_argument_list(world: World) -> None:
    token = json.loads((world.folder / "context.json").read_text())["token"]
    assert token not in world.stage.hub.log
    arguments = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(token.encode() in line for line in arguments)
    files = [path for path in world.stage.data_dir.rglob("*") if path.is_file()]
    assert not [path for path in files if token.encode() in path.read_bytes()]
