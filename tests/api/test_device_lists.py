"""`headland device invite --from`: a folder of invitations, whole or not at all."""

import json
from pathlib import Path

import pytest
import typer

from agent.identity.enrol import enrol, read_given
from cloud_hub.cli import invitations
from cloud_hub.sdk import SdkError
from contract.encoding import decode
from contract.enrolment import Invitation
from tests.api.conftest import Command, World, bearer

LIST = "name,site\ncam-1,lyon\ncam-2,\n"


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """A list of two devices."""
    path = tmp_path / "devices.csv"
    path.write_text(LIST)
    return path


def known(headland: Command) -> set[str]:
    """Return the devices of the hub."""
    return {each["id"] for each in json.loads(headland("device", "list", "-o", "json"))}


def test_each_device_has_a_file_of_its_own(
    world: World, headland: Command, devices: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "invitations"
    told = headland("device", "invite", "--from", str(devices), "--folder", str(folder))
    assert told.startswith(f"2 invitations are in {folder}; each works once, for 24 h.\n")
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "cam-1.json": 0o600,
        "cam-2.json": 0o600,
    }
    assert folder.stat().st_mode & 0o077 == 0
    invitation = read_given(folder / "cam-1.json", Invitation)
    here = Invitation(
        hub=str(world.client.base_url).rstrip("/"),
        ca_sha256=invitation.ca_sha256,
        device=invitation.device,
        token=invitation.token,
    )
    assert enrol(here, tmp_path / "identity").facts.device == "cam-1"
    assert world.services.devices.get("shop", "cam-1").tags == {"site": "lyon"}
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_the_answer_is_json_where_that_is_asked_for(headland: Command, devices: Path, tmp_path: Path) -> None:
    folder = tmp_path / "invitations"
    folder.mkdir()
    told = headland("device", "invite", "--from", str(devices), "--folder", str(folder), "-o", "json")
    assert json.loads(told) == [
        {"device": name, "file": str(folder / f"{name}.json")} for name in ("cam-1", "cam-2")
    ]


def test_a_fault_is_told_with_file_and_line_and_nothing_is_made(
    headland: Command, devices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.write_text("name,site\ncam-1,lyon\nCam-2,\ncam-1,\n")
    folder = tmp_path / "invitations"
    told = headland("device", "invite", "--from", str(devices), "--folder", str(folder), code=1)
    told += capsys.readouterr().err
    assert f"error: {devices}: the list of devices has 2 faults [device-list-invalid]" in told
    assert "line 3, name: the name is not allowed" in told
    assert "line 4, name: cam-1 stands twice, first in line 2" in told
    assert not folder.exists()
    assert known(headland) == set()


def test_nothing_is_overwritten_and_then_nobody_is_invited(
    headland: Command, devices: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "invitations"
    folder.mkdir()
    (folder / "cam-1.json").write_text("of before")
    words = ("device", "invite", "--from", str(devices), "--folder")
    for wrong in (folder, devices, tmp_path / "not" / "there"):
        with pytest.raises(SdkError):
            headland(*words, str(wrong))
    assert (folder / "cam-1.json").read_text() == "of before"
    assert known(headland) == set()
    headland(*words, str(tmp_path / "other"))
    assert known(headland) == {"cam-1", "cam-2"}, "the control"


def test_files_that_cannot_be_written_leave_no_folder_and_may_be_asked_for_again(
    headland: Command, devices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "invitations"
    words = ("device", "invite", "--from", str(devices), "--folder", str(folder))

    def full(path: Path, _content: object) -> None:
        if path.name == "cam-2.json":
            raise SdkError("cannot write the file (No space left on device)")
        path.touch()

    with monkeypatch.context() as patch:
        patch.setattr(invitations, "write_private", full)
        with pytest.raises(SdkError, match=r"No space left.*run the command again"):
            headland(*words)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["hub"]
    headland(*words)
    assert decode((folder / "cam-2.json").read_bytes(), Invitation, what="invitation").device == "cam-2"


@pytest.mark.parametrize(
    "words",
    [
        ["cam-1"],
        ["--file", "x"],
        ["--from", "x.csv"],
        ["--from", "x.csv", "--folder", "y", "--replace"],
        ["cam-1", "--from", "x.csv", "--folder", "y"],
    ],
)
def test_half_of_a_command_is_refused_as_wrong_use(headland: Command, words: list[str]) -> None:
    assert "give DEVICE and --file, or --from and --folder" in " ".join(
        headland("device", "invite", *words, code=2).replace("│", " ").split()
    )


def test_what_is_no_list_is_refused(world: World, headland: Command, tmp_path: Path) -> None:
    text = tmp_path / "devices.txt"
    text.write_text(LIST)
    for source in (text, tmp_path / "none.csv"):
        with pytest.raises((SdkError, typer.Exit)):
            headland("device", "invite", "--from", str(source), "--folder", str(tmp_path / "y"))
    path = "/api/v1/workspaces/shop/device-invitations"
    for kind, body in (
        ("text/plain", b"name\ncam-1"),
        ("text/csv", b"name\n\xff"),
        ("text/csv", b"name\n\0"),
    ):
        headers = {**bearer(world.admin_token), "Content-Type": kind}
        answer = world.client.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "device-list-invalid")
    assert known(headland) == set()
