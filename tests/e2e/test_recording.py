"""The recording: what becomes of a session, and (by `make soak`) that it still plays."""

import json
import re
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from simulators.demo.stage import Stage
from simulators.recording.__main__ import play
from simulators.recording.cast import Recording, asciicast, page

DOCS = Path(__file__).parents[2] / "docs"


def a_recording() -> Recording:
    recording = Recording()
    recording.add(0.0, "heading", "An update")
    recording.add(0.5, "words", "Now a better model.")
    recording.add(1.0, "command", "headland device list")
    recording.add(2.25, "output", "cam-1  \ncam-2\n")
    recording.add(2.5, "output", "\n")
    recording.add(3.0, "words", "It is there.")
    return recording


def test_a_page_has_what_was_typed_and_printed_in_blocks() -> None:
    block = "```text\n$ headland device list\ncam-1\ncam-2\n```"
    assert page(a_recording()) == f"## An update\n\nNow a better model.\n\n{block}\n\nIt is there.\n"


def test_an_asciicast_has_a_head_and_an_event_for_each_line() -> None:
    head, *events = [json.loads(line) for line in asciicast(a_recording(), "A title").splitlines()]
    assert (head["version"], head["title"]) == (2, "A title")
    assert [(event[0], event[1]) for event in events] == [(at, "o") for at in (0.0, 0.5, 1.0, 2.25, 3.0)]
    assert events[3][2] == "cam-1\r\ncam-2\r\n"


def test_the_page_and_the_asciicast_in_the_docs_are_of_one_run() -> None:
    printed = "".join(json.loads(line)[2] for line in (DOCS / "transcript.cast").read_text().splitlines()[1:])
    blocks = re.findall(r"```text\n(.*?)```", (DOCS / "transcript.md").read_text(), re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert len(lines) > 30
    assert [line for line in lines if line not in printed] == []


@pytest.mark.soak
@pytest.mark.parametrize("driver", ["process", pytest.param("runc", marks=pytest.mark.system)])
def test_it_plays(driver: str) -> None:
    stage, recording = Stage(Path(tempfile.mkdtemp(prefix="hl-rec-"))), Recording()
    try:
        assert play(stage, driver, recording, Console(quiet=True)) == []
    finally:
        assert stage.close() == []
    text = page(recording)
    assert "rolled_back stopped before it was ready" in text
    missing = re.search(r"^\d+ +(\d+) +\d{4}-", text, re.MULTILINE)
    dropped = re.search(r"stream trace: (\d+) evicted", text)
    assert missing is not None
    assert dropped is not None
    assert missing[1] == dropped[1] != "0"
