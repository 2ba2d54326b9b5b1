"""The largest files that are read take seconds, whatever stands in them."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest

from cloud_hub.importing.errors import ImportingError
from cloud_hub.importing.greengrass import import_greengrass
from cloud_hub.importing.iot_edge import import_iot_edge
from cloud_hub.importing.names import Images
from cloud_hub.importing.reading import read_document
from cloud_hub.importing.targets import Choices
from cloud_hub.rollouts.yaml_source import MAX_BYTES
from tests.importing.importing import edge, module, recipe

ROOM = MAX_BYTES - 2000
LONG = {
    "spaces": " " * ROOM,
    "keys": "BEGIN " * (ROOM // 6),
    "placeholders": "${a" * (ROOM // 3),
    "addresses": "://a:" * (ROOM // 5),
    "words": "Pwd " * (ROOM // 4),
    "colons": ":" * ROOM,
    "braces": "{configuration:" * (ROOM // 15),
    "options": "-e A=1 " * (ROOM // 7),
}
EDGE: dict[str, Any] = {
    "environment": edge({"a": module({"Env": [f"A{n}=1" for n in range(15_000)]})}),
    "binds": edge({"a": module({"HostConfig": {"Binds": [f"a{n}:/{n}" for n in range(12_000)]}})}),
    "modules": edge({f"m{n}": {"settings": {"image": "x:1"}} for n in range(6_000)}),
    "keys": edge({"a": module(), "b": {str(n): {} for n in range(20_000)}}),
    "dotted": {
        "modulesContent": {
            "$edgeAgent": {f"properties.desired.modules.a.env.B{n}.value": "1" for n in range(4_500)},
        }
    },
}


def seconds(importing: Any, document: Any) -> float:
    """Return how long it takes to read and import a document."""
    data = json.dumps(document).encode()
    assert len(data) <= MAX_BYTES
    started = time.process_time()
    with suppress(ImportingError):
        importing(read_document(data, "d.json"))
    return time.process_time() - started


def of_edge(document: Any) -> None:
    import_iot_edge(document, file="d.json", choices=Choices(), values={}, images=Images())


def of_greengrass(document: Any) -> None:
    import_greengrass(("d.json", document), choices=Choices(), values={}, images=Images())


@pytest.mark.parametrize("name", LONG)
def test_a_long_text_anywhere_takes_seconds(name: str) -> None:
    text = LONG[name]
    for document in (
        {"content": edge({"a": module()}), "targetCondition": text},
        edge({"a": {"settings": {"image": text}}}),
        edge({"a": {"settings": {"image": "x:1", "createOptions": {"Cmd": [text]}}}}),
        edge({"a": {"settings": {"image": "x:1", "createOptions": text}}}),
        edge({"a": {"settings": {"image": "x:1"}, "env": {text: {"value": "x"}}}}),
    ):
        assert seconds(of_edge, document) < 10
    assert seconds(of_greengrass, recipe(f"docker run {text} x:1")) < 10


@pytest.mark.parametrize("name", EDGE)
def test_many_values_take_seconds(name: str) -> None:
    assert seconds(of_edge, EDGE[name]) < 20
