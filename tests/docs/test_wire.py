"""docs/wire.md has every topic, message and route; the scoring and telemetry pages every name and column."""

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from cloud_hub.telemetry.files import SCHEMA
from contract import agent_api, enrolment, topics
from contract.messages import Inference, InputSummary
from modules.serving.routes import Routes
from modules.serving.samples import Origin
from modules.serving.script import Script
from modules.serving.settings import read_settings
from tests.docs.pages import ROOT, marked_blocks, page, rows_under, tables

GOLDEN = sorted((ROOT / "tests/contract/golden").glob("*.json"))


def topic_names() -> set[str]:
    """Return every topic of the protocol with its placeholders."""
    found = set()
    for function in vars(topics).values():
        if inspect.isfunction(function) and "device" in inspect.signature(function).parameters:
            names = inspect.signature(function).parameters
            topic = function(**{name: f"{{{name}}}" for name in names})
            found |= {topic} if isinstance(topic, str) else set()
    return found


def paths_of(module: ModuleType) -> set[str]:
    """Return the HTTP paths that a module of the contract names."""
    return {value for name, value in vars(module).items() if name.endswith("_PATH")}


def first_cells(text: str, *header: str) -> set[str]:
    """Return what stands first in the rows under a header."""
    return set(rows_under(text, *header))


def wrong_goldens(text: str) -> list[str]:
    """Return the messages whose block in a page is not their golden file."""
    return [
        path.stem
        for path in GOLDEN
        if [json.loads(block) for block in marked_blocks(text, f"golden: {path.stem}")]
        != [json.loads(path.read_bytes())]
    ]


class Recording(Mapping[str, str]):
    """An environment that remembers which names were asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values_by_name = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.values_by_name[name]

    def __iter__(self) -> object:  # type: ignore[override]
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)


def test_every_topic_is_in_the_page_and_no_other() -> None:
    assert first_cells(page("wire.md"), "topic", "from") == topic_names()
    assert len(topic_names()) == 5


def test_a_planted_topic_is_found() -> None:
    text = page("wire.md").replace("| `hl/1/{device}/ack` |", "| `hl/1/{device}/acks` |")
    assert first_cells(text, "topic", "from") ^ topic_names() == {"hl/1/{device}/ack", "hl/1/{device}/acks"}


def test_every_message_stands_as_its_golden_file_has_it() -> None:
    assert GOLDEN
    assert wrong_goldens(page("wire.md")) == []


def test_a_planted_other_message_is_found() -> None:
    assert wrong_goldens(page("wire.md").replace('"driver": "runc"', '"driver": "docker"')) == ["hello-1"]
    assert wrong_goldens(page("wire.md").replace("<!-- golden: ack-1 -->", "")) == ["ack-1"]


def agent_routes(text: str) -> set[str]:
    """Return the routes of the agent's socket in a page, as the contract writes them."""
    section = text.partition("## The agent's socket")[2].partition("\n## ")[0]
    found = {re.findall(r"`([^`]+)`", row[1])[0] for row in _method_rows(section)}
    return {path.replace("{stream}", "") for path in found}


def _method_rows(text: str) -> list[list[str]]:
    return [row for head, rows in tables(text) if head[:2] == ["method", "path"] for row in rows]


def test_every_route_of_the_agents_socket_and_of_enrolment_is_in_the_page() -> None:
    assert agent_routes(page("wire.md")) == paths_of(agent_api)
    assert paths_of(enrolment)
    assert all(path in page("wire.md") for path in paths_of(enrolment))


def test_a_planted_route_is_found() -> None:
    assert agent_routes(page("wire.md").replace("`/v1/ready`", "`/v1/steady`")) != paths_of(agent_api)


def test_every_scoring_route_of_the_page_answers() -> None:
    routes = Routes(Script(lambda _: 1), Origin("m", "NAME", "VERSION", "i:1"), None)
    rows = _method_rows(page("scoring.md"))
    assert len(rows) == 10
    for method, path, *_ in rows:
        assert routes.answer(method, path.strip("`"), b"{}").status in {200, 400}, path
    assert routes.answer("GET", "/v2/planted", b"").status == 404


def defaults(text: str) -> dict[str, str]:
    """Return what a page says to be the default of each name of the scoring server's environment."""
    return {name: row[1].strip("`") for name, row in rows_under(text, "name", "default").items()}


def test_every_name_of_the_scoring_servers_environment_is_in_the_page() -> None:
    environment = Recording({})
    with pytest.raises(Exception, match="AZUREML_MODEL_DIR"):
        read_settings(environment)
    assert set(defaults(page("scoring.md"))) == environment.asked


def settings_differ(told: dict[str, str]) -> list[str]:
    """Return the names whose told default makes other settings than saying nothing."""
    base = {"LISTEN_FDS": "1", "AZUREML_MODEL_DIR": "m"}
    plain = read_settings(base)
    return [
        name
        for name, value in told.items()
        if value != "none" and read_settings(base | {name: value}) != plain
    ]


def test_the_defaults_are_those_of_the_page() -> None:
    told = defaults(page("scoring.md"))
    assert settings_differ(told) == []
    assert settings_differ(told | {"HEADLAND_ORT_THREADS": "2"}) == ["HEADLAND_ORT_THREADS"]


def inference_fields() -> set[str]:
    """Return the fields of a sample of stream inference, those of the input with its name before."""
    inner = {f"input.{field.name}" for field in msgspec.structs.fields(InputSummary)}
    return {field.name for field in msgspec.structs.fields(Inference)} - {"input"} | inner


def test_every_field_of_a_sample_is_in_the_page() -> None:
    text = page("scoring.md")
    assert first_cells(text, "field", "what it is") == inference_fields()
    planted = text.replace("| `latency_us` |", "| `latency` |")
    assert first_cells(planted, "field", "what it is") != inference_fields()


def columns(text: str) -> dict[str, str]:
    """Return the columns of telemetry tables and their types, as a page tells them."""
    return {name: row[1] for name, row in rows_under(text, "column", "type").items()}


def test_every_column_is_in_the_page() -> None:
    text = page("telemetry.md")
    assert columns(text) == {field.name: str(field.type) for field in SCHEMA}
    assert columns(text.replace("| int64 |", "| int32 |")) != columns(text)


def test_the_links_to_golden_files_are_of_the_message_before() -> None:
    linked = re.findall(r"golden/([a-z0-9-]+)\.json\)", page("wire.md"))
    assert sorted(linked) == sorted(Path(path).stem for path in GOLDEN)
