"""The policy's file: read anew when it changes, closed when it cannot be read."""

import os
from pathlib import Path

import msgspec
import pytest

from agent.policy.file import PolicyError, PolicyFile, read
from tests.agent.test_acceptance import GOOD
from tests.policy.test_judge import asking

PRIVILEGED = msgspec.structs.replace(GOOD, modules=(asking(privileged=True),))


def write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def test_a_change_holds_at_once_and_is_told_once(tmp_path: Path) -> None:
    path, told = tmp_path / "policy.toml", list[str]()
    write(path, "")
    policy = PolicyFile(path, lambda: told.append("changed"))
    assert policy.forbids(asking(privileged=True))
    assert told == []
    write(path, "privileged = true")
    assert policy.refuses(PRIVILEGED) is None
    assert policy.forbids(asking(privileged=True)) == ""
    assert told == ["changed"]
    write(path, "privileged = false")
    assert "[policy-privileged]" in policy.forbids(asking(privileged=True))


@pytest.mark.parametrize(
    "text",
    [
        "privilege = true",
        "privileged = 1",
        "privileged =",
        "[[host_paths]]\npath = '../x'",
        "[[devices]]\npath = '/etc/x'",
        "[[ports]]\naddresses = ['here']",
        "[[ports]]\nfirst = 0",
        "capabilities = ['CAP_NET_ADMIN']",
        "\xff" * 300_000,
    ],
)
def test_one_that_is_wrong_closes_the_door_to_what_is_new(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.toml"
    write(path, "privileged = true")
    policy = PolicyFile(path)
    assert policy.refuses(GOOD) is None
    write(path, text)
    with pytest.raises(PolicyError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert caught.value.fix
    denial = policy.refuses(GOOD)  # asks for nothing: and still, who knows what its owner wanted
    assert denial is not None
    assert denial.code == "policy-unreadable"
    assert policy.forbids(asking()) == "", "what is in force and asks for nothing starts again"
    assert policy.forbids(asking(privileged=True))
    write(path, "")
    assert policy.refuses(GOOD) is None


def test_one_that_is_not_there_or_others_may_write_closes_it_too(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    policy = PolicyFile(path)
    assert policy.refuses(GOOD) is not None
    write(path, "")
    assert policy.refuses(GOOD) is None
    path.chmod(0o666)
    denial = policy.refuses(GOOD)
    assert denial is not None
    assert "its owner alone" in denial.reason
    path.chmod(0o644)
    assert policy.refuses(GOOD) is None


def test_a_folder_or_a_pipe_is_an_error_and_no_hang(tmp_path: Path) -> None:
    assert PolicyFile(tmp_path).refuses(GOOD) is not None
    os.mkfifo(tmp_path / "pipe")
    assert PolicyFile(tmp_path / "pipe").refuses(GOOD) is not None
