"""Every operation of the OpenAPI document, with what fits its schema and what does not: never a 5xx.

As an Owner, as the hub's administrator and as nobody; with names that exist and names that do not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from cloud_hub.api.app import create_app
from cloud_hub.audit.actor import Actor
from contract.digests import sha256
from tests.api.hub import WORKSPACE, World, world

EXAMPLES = 6
SOAK_EXAMPLES = 400
ENDS_THE_TOKEN = {("delete", "/api/v1/session")}
"""What is called after it would be refused; tests/api/test_sessions.py calls it."""


@dataclass(frozen=True)
class Api:
    """An application, who may call it, and path parameters that lead to something."""

    app: FastAPI
    tokens: dict[str, str]
    known: dict[str, str]


def seed(at: World) -> dict[str, str]:
    """Put something into the workspace; return path parameters that find it."""
    run = at.services.experiments.start(WORKSPACE, "digits", "ana")
    at.services.devices.invite(WORKSPACE, "cam-1", timedelta(hours=1), Actor("ana"))
    return {"workspace": WORKSPACE, "run": run.id, "device": "cam-1", "experiment": "digits",
            "digest": sha256(b"x")}  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with world(tmp_path) as at:
        tokens = {"Owner": at.owner, "administrator": at.administrator, "nobody": ""}
        yield Api(create_app(at.services), tokens, seed(at))


def faults(api: Api, examples: int, only: str = "") -> list[str]:
    """Call every operation; return those that answered with 5xx, each once with its request."""
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", api.app)
    found: dict[str, str] = {}
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), "the document itself is not valid"
        operation = result.ok()
        if (only and only not in operation.path) or (operation.method, operation.path) in ENDS_THE_TOKEN:
            continue
        for mode in GenerationMode:
            # In 450 tries none is found; what is called often tries all the same.
            if (
                mode is GenerationMode.NEGATIVE
                and examples == EXAMPLES
                and takes_any_text(operation.definition.raw)
            ):
                continue
            _fuzz(api, operation, mode, examples, found)
    return sorted(found.values())


def takes_any_text(described: Mapping[str, Any]) -> bool:
    """Does an operation of the document take texts without a rule and nothing else, so that all calls fit?"""
    return "requestBody" not in described and all(
        parameter["in"] in {"path", "header"} and _is_any_text(parameter["schema"])
        for parameter in described.get("parameters", ())
    )


def _is_any_text(schema: Mapping[str, Any]) -> bool:
    rules = schema.keys() - {"title", "description"}
    if rules == {"anyOf"}:
        return all(_is_any_text(one) or one == {"type": "null"} for one in schema["anyOf"])
    return rules == {"type"} and schema["type"] == "string"


def _fuzz(api: Api, operation: Any, mode: GenerationMode, examples: int, found: dict[str, str]) -> None:
    cases = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=examples,
        database=None,
        derandomize=examples == EXAMPLES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, who=st.sampled_from(sorted(api.tokens)), exists=st.sampled_from([True, True, False]))
    def call(case: Any, who: str, exists: bool) -> None:
        if exists:
            places = case.path_parameters or {}
            case.path_parameters = places | {key: api.known[key] for key in places if key in api.known}
        headers = {"Authorization": f"Bearer {api.tokens[who]}"} if api.tokens[who] else {}
        try:
            status = str(case.call(headers=headers).status_code)
        except Exception as error:
            # What the application raised: a server would have answered 500.
            status = f"500 {error!r}"
        if status.startswith("5"):
            found.setdefault(operation.label, f"{operation.label}: {status}, {case.as_curl_command()}")

    try:
        call()
    except (Unsatisfiable, schemathesis.errors.SchemathesisError) as error:
        # Some operations cannot be called wrongly: they take nothing.
        if mode is not GenerationMode.NEGATIVE:
            found[operation.label] = f"{operation.label}: cannot be called: {error}"


def test_no_operation_fails(api: Api) -> None:
    assert faults(api, EXAMPLES) == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_operation_fails_however_often_it_is_called(api: Api) -> None:
    assert faults(api, SOAK_EXAMPLES) == []


@pytest.mark.parametrize(
    ("place", "schema"),
    [
        ("path", {"type": "integer"}),
        ("path", {"type": "string", "pattern": "^a"}),
        ("header", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("query", {"type": "string"}),
    ],
)
def test_an_operation_that_can_be_called_wrongly_is(place: str, schema: dict[str, Any]) -> None:
    """What is left out is only what takes any text; a query can be of the wrong kind."""
    name = {"in": "path", "schema": {"title": "Name", "type": "string"}}
    assert takes_any_text({"parameters": [name]})
    assert not takes_any_text({"parameters": [name, {"in": place, "schema": schema}]})
    assert not takes_any_text({"parameters": [name], "requestBody": {}})


def test_a_planted_fault_is_found(api: Api) -> None:
    """Negative control."""

    @api.app.get("/api/v1/planted/{number}")
    def planted(number: int) -> float:
        return 1 / (number - number)

    (found,) = faults(api, EXAMPLES, only="/planted/")
    assert found.startswith("GET /api/v1/planted/{number}: 500")
