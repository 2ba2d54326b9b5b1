"""What people type each day, on a real hub: logging in, runs, what differs, the newest activity."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import World, command

PROGRAM = str(Path(sys.executable).parent / "headland")
FIRST, SECOND = "a password of twelve", "another password of twelve"


class Person:
    """Somebody with a context of their own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.folder = folder
        self.context = folder / f"{name}.context"

    def types(self, *arguments: str, answers: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``headland`` with what is typed at its prompts."""
        environment = os.environ | {"HEADLAND_CONTEXT": str(self.context)}
        return subprocess.run(
            [PROGRAM, *arguments], input=answers, capture_output=True, text=True, env=environment, check=False
        )

    def does(self, *arguments: str, answers: str = "") -> str:
        """Return what a command printed that is to succeed."""
        done = self.types(*arguments, answers=answers)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def is_refused(self, *arguments: str, answers: str = "") -> str:
        """Return what a command said that is to fail."""
        done = self.types(*arguments, answers=answers)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
        return done.stderr


def answer(*arguments: str) -> Any:
    """Return the JSON that a command of the administrator answers."""
    done = command("headland", *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def ana(world: World, tmp_path: Path) -> Person:
    """A Contributor who is invited and not logged in yet; the name is each test's own."""
    name = f"ana-{len(answer('user', 'list'))}"
    answer("user", "create", name, "--file", str(tmp_path / "ana.json"))
    answer("workspace", "share", name, "--role", "Contributor")
    return Person(tmp_path, name)


def invitation(person: Person) -> tuple[str, ...]:
    return ("login", "--invitation", str(person.folder / "ana.json"))


def ca_file(person: Person) -> str:
    """Return a file with the hub's CA, as an administrator would hand it over."""
    path = person.folder / "ca.pem"
    path.write_text(json.loads((person.folder / "ana.json").read_text())["ca_pem"])
    return str(path)


def test_a_person_logs_in_and_out_and_in_again(world: World, ana: Person) -> None:
    assert "workspaces: shop" in ana.does(*invitation(ana), answers=f"{FIRST}\n")
    assert ana.does("whoami").splitlines()[1] == "  shop: Contributor"
    ana.does("password", answers=f"{FIRST}\n{SECOND}\n")
    ana.does("logout")
    assert "[unauthenticated]" in ana.is_refused("model", "list")
    hub = json.loads(ana.context.read_text())["hub"]
    again = ("login", hub, "--ca-file", ca_file(ana), "--user", ana.name)
    assert "[unauthenticated]" in ana.is_refused(*again, answers=f"{FIRST}\n")
    ana.does(*again, answers=f"{SECOND}\n")
    assert "digits" in ana.does("model", "list")


def test_an_invitation_works_once_and_takes_a_password(world: World, ana: Person) -> None:
    assert "12 to 1024 characters" in ana.is_refused(*invitation(ana), answers="short\n")
    ana.does(*invitation(ana), answers=f"{FIRST}\n")
    assert "error: " in ana.is_refused(*invitation(ana), answers=f"{SECOND}\n")


@pytest.mark.parametrize("token", ["two words", "tök", "a\nb", "", "not-a-token"])
def test_a_token_that_is_none_is_refused_in_words(world: World, ana: Person, token: str) -> None:
    hub = json.loads((ana.folder / "ana.json").read_text())["hub"]
    (ana.folder / "token").write_text(token)
    said = ana.is_refused("login", hub, "--ca-file", ca_file(ana), "--token-file", str(ana.folder / "token"))
    assert "hub-unreachable" not in said
    assert not ana.context.exists()


def test_a_run_from_the_shell(world: World, tmp_path: Path) -> None:
    file = tmp_path / "net.txt"
    file.write_text("weights")
    parent = answer("run", "start", "shell", "--source", "commit=3f0c")["id"]
    run = answer("run", "start", "shell", "--parent", parent)["id"]
    parameters = ("C=0.01", "self=on", "deep=true", "id=1e999")
    said = [word for text in parameters for word in ("--parameter", text)]
    answer("run", "log", run, *said, "--metric", "accuracy=0.5", "--step", "3", "--file", str(file))
    wrong = command("headland", "run", "log", run, "--metric", "accuracy=high", "--parameter", "C=2")
    assert wrong.returncode == 2
    assert "accuracy is not a number" in wrong.stderr
    info = answer("run", "finish", run, "--status", "failed")
    assert info["parameters"] == {"C": 0.01, "self": "on", "deep": True, "id": "1e999"}
    assert info["outputs"]["net.txt"]["size_bytes"] == 7
    assert [(m["name"], m["step"], m["value"]) for m in answer("run", "show", run)["metrics"]] == [
        ("accuracy", 3, 0.5)
    ]
    assert [(r["id"], r["status"]) for r in answer("run", "list", "--parent", parent)] == [(run, "failed")]
    shown = command("headland", "run", "show", parent).stdout
    assert "source commit = 3f0c" in shown
    assert f"part of run {parent}" in command("headland", "run", "show", run).stdout


def test_what_differs_between_models_is_shown(world: World) -> None:
    found = {
        one["fact"]: (one["first"], one["second"]) for one in answer("model", "diff", "digits:1", "digits:2")
    }
    digests = [world.workspace.model(f"digits:{version}").digest for version in (1, 2)]
    assert {(digests[0], None), (None, digests[1])} <= set(found.values()), "each has its file"
    assert {"run", "parameter kind"} <= found.keys()
    assert "framework" not in found
    assert answer("model", "diff", "digits:1", "digits:1") == []
    assert "[not-found]" in command("headland", "model", "diff", "digits:1", "digits:99").stderr


def test_a_secret_shows_its_versions_without_a_value(world: World, tmp_path: Path) -> None:
    (tmp_path / "value").write_text("no-one-sees-this")
    for _ in range(2):
        answer("secret", "set", "daily", "--from-file", str(tmp_path / "value"))
    assert [one["version"] for one in answer("secret", "show", "daily")["versions"]] == [1, 2]
    shown = command("headland", "secret", "show", "daily").stdout
    assert "daily:2" in shown
    assert "no-one-sees-this" not in shown
    assert "[not-found]" in command("headland", "secret", "show", "nothing").stderr


def test_the_newest_activity_is_meant_where_none_is_named(world: World) -> None:
    newest = world.workspace.start_build("daily", "digits:1").id
    assert answer("activity", "show")["id"] == newest
    assert newest in command("headland", "activity", "follow").stdout.splitlines()[-1]


def test_a_workspace_without_activities_says_so(world: World) -> None:
    answer("workspace", "create", "quiet")
    answer("workspace", "use", "shop")
    said = command("headland", "activity", "follow", "--workspace", "quiet")
    assert said.returncode == 1
    assert "quiet: there is no activity yet" in said.stderr
