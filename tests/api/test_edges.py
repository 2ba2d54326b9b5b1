"""Requests at the edge of what a field can hold: each is the client's fault and told so."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI

from cloud_hub.api.app import create_app
from contract.digests import sha256
from tests.api.hub import WORKSPACE, world

AT = f"/api/v1/workspaces/{WORKSPACE}"


@dataclass(frozen=True)
class Caller:
    """A client with an Owner's token, and a run that is open."""

    app: FastAPI
    token: str
    run: str

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> httpx.Response:
        """Send a request as it is written; what the application raises is a 500."""
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **headers}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="https://hub") as client:
                return await client.request(method, path, content=body, headers=sent)

        return asyncio.run(send())

    def get(self, path: str) -> httpx.Response:
        """Read something of the workspace."""
        return self.ask("GET", AT + path)

    def post(self, path: str, body: str) -> httpx.Response:
        """Send a body into the workspace."""
        return self.ask("POST", AT + path, body)


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with world(tmp_path_factory.mktemp("edges")) as at:
        run = at.services.experiments.start(WORKSPACE, "digits", "ana").id
        yield Caller(create_app(at.services), at.owner, run)


HUGE = "9" * 4000
TOO_LONG = "9" * 5000


@pytest.mark.parametrize(
    "body",
    [
        f'{{"name": "a", "value": 1, "step": {2**63}}}',
        f'{{"name": "a", "value": 1, "step": -{2**63 + 1}}}',
        f'{{"name": "a", "value": 1, "step": {HUGE}}}',
        f'{{"name": "a", "value": 1, "step": {TOO_LONG}}}',
        f'{{"name": "a", "value": {HUGE}}}',
        '{"name": "a", "value": 1e999}',
        '{"name": "a", "value": NaN}',
        '{"name": "a", "value": -Infinity}',
        '{"name": "a\\ud800", "value": 1}',
        '{"name": "a", "value": 1, "\\ud800": 1}',
        '{"name": "", "value": 1}',
    ],
)
def test_a_metric_that_no_database_holds_is_refused(caller: Caller, body: str) -> None:
    answer = caller.post(f"/runs/{caller.run}/metrics", body)
    assert answer.status_code in {400, 422}
    assert answer.json()["code"]


@pytest.mark.parametrize("step", [0, 2**31 - 1, -(2**31)])
def test_a_metric_at_the_bounds_is_kept(caller: Caller, step: int) -> None:
    body = f'{{"name": "a", "value": 1, "step": {step}}}'
    assert caller.post(f"/runs/{caller.run}/metrics", body).status_code == 204
    assert caller.get(f"/runs/{caller.run}").status_code == 200


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "1e999", HUGE, TOO_LONG, '"\\ud800"', '"\\u0000"', "[]", "{}"]
)
def test_parameters_that_cannot_be_told_again_are_refused(caller: Caller, value: str) -> None:
    answer = caller.post(f"/runs/{caller.run}/parameters", f'{{"parameters": {{"a": {value}}}}}')
    assert answer.status_code in {400, 422}
    inner = value.strip('"')
    caller.post(f"/runs/{caller.run}/parameters", f'{{"parameters": {{"a{inner}": 1}}}}')
    assert caller.get(f"/runs/{caller.run}").status_code == 200


@pytest.mark.parametrize("depth", [100, 300, 400, 450, 480, 500, 900, 990, 2000])
def test_depth_is_answered_whatever_it_is(caller: Caller, depth: int) -> None:
    body = '{"parameters": {"a": ' + "[" * depth + "]" * depth + "}}"
    assert caller.post(f"/runs/{caller.run}/parameters", body).status_code in {400, 422}


@pytest.mark.parametrize(
    "path",
    [
        f"/models/m:{TOO_LONG}",
        "/models/m:0",
        "/models/m:99999999999999999999",
        f"/images/m:{TOO_LONG}",
        "/models/%00",
        "/models/%ff%fe",
        "/models/%ED%A0%80",
        "/runs/%00",
        "/runs?experiment=%00",
        "/runs?experiment=%ED%A0%80",
        "/devices/%2e%2e",
        "/devices/cam-1/pulled?since=9999-12-31T23:59:59-23:59",
        "/devices/cam-1/pulled?since=0001-01-01T00:00:00%2B23:59",
        "/activities/" + "a" * 10_000,
        "/rollouts/%F0%9F%92%A9",
        "/telemetry/streams?x=%00",
    ],
)
def test_a_path_of_any_kind_is_the_client_s_fault(caller: Caller, path: str) -> None:
    assert caller.get(path).status_code < 500


QUERIES = [
    "", ";", "select 1; select 2", "select 1e999", "select 'NaN'::double", "select 1 as a, 2 as a",
    "select repeat('a', 100000000)", "select * from read_csv('/etc/passwd')", "pragma version",
    "select 9223372036854775807 + 1", "select '\\ud800'", "select '\\u0000'", "attach 'x'",
    "select [1, {'a': 2}]", "select interval 1 day", "select date '0001-01-01'", "select time '00:00'",
    "select 1::blob", "select 170141183460469231731687303715884105727::hugeint", "select uuid()",
    "select 'infinity'::timestamp", "select '290000-01-01'::date", "select '1'::decimal(38,2)",
    "select map {'a': 1}", "select '\\uffff'::varchar",
    pytest.param("select repeat('a', 1000000000)", marks=pytest.mark.soak),  # 8 s of a core
]  # fmt: skip


@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_of_any_kind_is_answered(caller: Caller, sql: str) -> None:
    assert caller.post("/telemetry/query", f'{{"sql": "{sql}"}}').status_code < 500


@pytest.mark.parametrize(
    "given", ["bytes=0-", "bytes=9-", "bytes=-5", "bytes=5-1", f"bytes={'9' * 18}-", "bytes=a", ""]
)
def test_a_range_of_any_kind_is_answered(caller: Caller, given: str) -> None:
    path = f"/v2/{WORKSPACE}/absent/blobs/{sha256(b'x')}"
    assert caller.ask("GET", path, Range=given).status_code == 404


@pytest.mark.parametrize("name", ["a" * 64, "", "..", "a/b", "A", "\\u0000", "\\ud800", "%2e"])
def test_a_name_of_any_kind_is_answered(caller: Caller, name: str) -> None:
    body = f'{{"name": "{name}", "model": "{name}:1", "device": "{name}", "digest": "{name}"}}'
    for path in ("/models", "/images/builds", "/devices", "/tokens"):
        assert caller.post(path, body).status_code in {400, 404, 422}


def test_the_openapi_document_is_whole(caller: Caller) -> None:
    """Two operations with one name would make a client that misses one of them."""
    document = caller.ask("GET", "/api/openapi.json").json()
    names = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(names) == len(set(names)) > 25
