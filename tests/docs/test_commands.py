"""docs/commands.md has every command with its options; every command has an example and answers in JSON."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import typer.main

from cloud_hub.cli.app import app
from tests.docs.pages import page, rows_under

# It runs until it is stopped, so it has no answer.
DAEMONS = {"headland hub up"}
AGENT_COMMANDS = ("enroll", "run", "status", "check", "logs", "support-bundle", "apply", "down")


def commands(root: typer.Typer) -> dict[str, Any]:
    """Return every command of the CLI by its words."""
    return dict(_walk(typer.main.get_command(root), "headland"))


def _walk(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, sub in inner.items():
        yield from _walk(sub, f"{words} {name}")


def options_of(command: Any) -> set[str]:
    """Return the long forms of a command's options."""
    return {max(p.opts, key=len) for p in command.params if p.param_type_name == "option"}


def documented(text: str) -> dict[str, set[str]]:
    """Return options by command, from the tables; words in capitals are arguments."""
    return {
        re.sub(r" [A-Z]+", "", words): set(re.findall(r"`(--[a-z-]+)`", row[1]))
        for words, row in rows_under(text, "command", "options").items()
    }


def agent_options() -> dict[str, set[str]]:
    """Return the options of headland-agent's commands, as their help tells them."""
    program = str(Path(sys.executable).parent / "headland-agent")
    found = {}
    for name in AGENT_COMMANDS:
        told = subprocess.run([program, name, "--help"], capture_output=True, text=True, check=True).stdout
        found[f"headland-agent {name}"] = set(re.findall(r"^ +(?:-h, )?(--[a-z-]+)", told, re.MULTILINE)) - {
            "--help"
        }
    return found


def without_example(found: dict[str, Any]) -> list[str]:
    """Return the commands whose help has no example of themselves with options that exist."""
    wrong = []
    for words, command in found.items():
        example = command.epilog or ""
        used = {word for word in shlex.split(example) if word.startswith("--")}
        if not example.startswith(f"Example: {words}") or used - options_of(command):
            wrong.append(words)
    return wrong


def without_output(found: dict[str, Any]) -> list[str]:
    """Return the commands that answer and cannot answer in JSON."""
    return [w for w, c in found.items() if "--output" not in options_of(c) and w not in DAEMONS]


def planted() -> dict[str, Any]:
    """Return the commands of a CLI that has every fault."""
    root, inner = typer.Typer(), typer.Typer()
    root.add_typer(inner, name="planted")

    @inner.command(epilog="Example: headland planted other --gone 1")
    def one() -> None:
        """Answers nothing."""

    @inner.command()
    def two(loud: bool = False) -> None:
        """Answers nothing either."""

    return commands(root)


def test_every_command_and_option_is_in_the_page_and_no_other() -> None:
    found = {words: options_of(command) for words, command in commands(app).items()} | agent_options()
    assert documented(page("commands.md")) == found


def test_the_cli_itself_is_in_the_page() -> None:
    for option in ("--version", "--install-completion", "--show-completion"):
        assert f"`headland {option}`" in page("commands.md") or f"`{option}`" in page("commands.md")


def test_every_command_has_an_example() -> None:
    assert without_example(commands(app)) == []


def test_every_command_that_answers_can_answer_in_json() -> None:
    assert without_output(commands(app)) == []
    assert set(commands(app)) >= DAEMONS


def test_planted_commands_are_found() -> None:
    found = planted()
    assert list(found) == ["headland planted one", "headland planted two"]
    assert without_example(found) == without_output(found) == list(found)
    assert options_of(found["headland planted two"]) - documented(page("commands.md")).get("x", set()) == {
        "--loud"
    }
