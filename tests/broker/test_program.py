"""Which server program is taken."""

import os
import sys
from pathlib import Path

import pytest

from cloud_hub.broker.errors import ServerMissingError
from cloud_hub.broker.program import find_program


def fake_server(folder: Path, text: str) -> Path:
    program = folder / "nats-server"
    program.write_text(f"#!/bin/sh\necho '{text}'\n")
    program.chmod(0o755)
    return program


def test_the_path_comes_first_where_it_is_new_enough(tmp_path: Path) -> None:
    program = fake_server(tmp_path, "nats-server: v9.0.0")
    assert find_program(f"{tmp_path}{os.pathsep}/bin") == program


@pytest.mark.parametrize("text", ["nats-server: v2.14.2", "nats-server: v2.9.25", "what?"])
def test_an_old_or_odd_one_is_passed_over_for_the_package(tmp_path: Path, text: str) -> None:
    fake_server(tmp_path, text)
    assert find_program(str(tmp_path)) == Path(sys.executable).with_name("nats-server")


def test_none_at_all_names_what_was_looked_at(tmp_path: Path) -> None:
    old = fake_server(tmp_path, "nats-server: v2.10.0")
    with pytest.raises(ServerMissingError, match=r"2\.10\.0.*Install") as caught:
        find_program(str(tmp_path), beside=tmp_path / "nowhere" / "python")
    assert str(old) in caught.value.where
