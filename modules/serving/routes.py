"""From a request to its answer: routes, errors as problems, and a sample of each scored request."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from contract.errors import Problem
from modules.serving import oip
from modules.serving.errors import (
    MethodUnknownError,
    ModelUnknownError,
    NoTensorsError,
    RequestError,
    RouteUnknownError,
    ServerFailedError,
)
from modules.serving.log import describe_failure, log_event
from modules.serving.model import OnnxModel
from modules.serving.samples import (
    NO_INPUT,
    Origin,
    cap_prediction,
    encode_sample,
    summarise_input,
    summarise_prediction,
)
from modules.serving.script import Script

JSON: Final = b"application/json"
PROBLEM_JSON: Final = b"application/problem+json"
SERVER_NAME: Final = "headland-serving"
SERVER_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client; ``allow`` only with 405."""

    status: int
    body: bytes
    kind: bytes = JSON
    allow: str = ""


class OipProblem(Problem, frozen=True, kw_only=True, omit_defaults=True):
    """A problem that also is the Open Inference Protocol's error object."""

    error: str


Handler = Callable[[bytes], Answer]
Recorder = Callable[[int, bytes], None]


class Routes:
    """Answers requests for one model; ``record`` (None: nobody listens) takes ``(sampled_at_us, body)``."""

    def __init__(self, scored: OnnxModel | Script, origin: Origin, record: Recorder | None) -> None:
        self._scored = scored
        self._origin = origin
        self._record = record
        self._routes: dict[tuple[str, str], Handler] = {}
        name, version = origin.model, origin.model_version
        self._add_fixed("/v2/health/live", {"live": True})
        self._add_fixed("/v2/health/ready", {"ready": True})
        self._add_fixed("/v2", {"name": SERVER_NAME, "version": SERVER_VERSION, "extensions": []})
        metadata = oip.model_metadata(scored if isinstance(scored, OnnxModel) else None, name, version)
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
            self._add_fixed(path, metadata)
            self._add_fixed(f"{path}/ready", {"name": name, "ready": True})
            self._routes["POST", f"{path}/infer"] = self._infer
        self._routes["POST", "/score"] = self._score

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Return the answer to one request; it never raises."""
        try:
            return self._find(method, target)(body)
        except RequestError as error:
            return problem_answer(error)
        except Exception as error:  # the process serves on, and the log says where
            log_event(f"the server failed on a request: {describe_failure(error)}")
            return problem_answer(ServerFailedError("the server failed on this request", where=SERVER_NAME))

    def _add_fixed(self, path: str, document: dict[str, Any]) -> None:
        fixed = Answer(200, msgspec.json.encode(document))
        self._routes["GET", path] = lambda _body: fixed

    def _find(self, method: str, target: str) -> Handler:
        method = "GET" if method == "HEAD" else method
        found = self._routes.get((method, target))
        if found is not None:
            return found
        path = _read_path(target)
        found = self._routes.get((method, path))
        if found is not None:
            return found
        allowed = sorted({known for known, route in self._routes if route == path})
        if allowed:
            raise MethodUnknownError(
                "the path does not take this method",
                allow=", ".join([*allowed, "HEAD"] if "GET" in allowed else allowed),
                fix=f"Use {' or '.join(allowed)}.",
            )
        if path.startswith("/v2/models/"):
            raise ModelUnknownError(
                "no such model, version or operation is served here",
                fix=f"This server has model {self._origin.model}, version {self._origin.model_version}.",
            )
        raise RouteUnknownError("there is nothing at this path", fix="GET /v2 says who answers here.")

    def _infer(self, body: bytes) -> Answer:
        started_ns = time.perf_counter_ns()
        if not isinstance(self._scored, OnnxModel):
            raise NoTensorsError("the model is a script and declares no tensors", fix="POST to /score.")
        scored = oip.infer(self._scored, self._origin.model, self._origin.model_version, body)
        self._sample_tensors(scored, started_ns)
        return Answer(200, scored.answer)

    def _score(self, body: bytes) -> Answer:
        started_ns = time.perf_counter_ns()
        if isinstance(self._scored, OnnxModel):
            scored = oip.score(self._scored, self._origin.model, self._origin.model_version, body)
            self._sample_tensors(scored, started_ns)
            return Answer(200, scored.answer)
        result = self._scored.score(body)
        if self._record is not None:
            latency_us = (time.perf_counter_ns() - started_ns) // 1000
            sample = encode_sample(self._origin, None, latency_us, cap_prediction(result), NO_INPUT)
            self._record(time.time_ns() // 1000, sample)
        return Answer(200, result)

    def _sample_tensors(self, scored: oip.Scored, started_ns: int) -> None:
        if self._record is None:
            return
        latency_us = (time.perf_counter_ns() - started_ns) // 1000
        sample = encode_sample(
            self._origin,
            scored.request_id,
            latency_us,
            summarise_prediction(scored.first_output),
            summarise_input(scored.first_input),
        )
        self._record(time.time_ns() // 1000, sample)


def problem_answer(error: RequestError) -> Answer:
    """Return the answer for ``error``: a problem (RFC 9457) with the protocol's ``error`` field."""
    status = HTTPStatus(error.status)
    problem = OipProblem(
        type=f"urn:headland:error:{error.code}",
        title=status.phrase,
        status=status.value,
        detail=error.what,
        code=error.code,
        where=error.where,
        fix=error.fix,
        retriable=error.retriable,
        error=str(error),
    )
    allow = error.allow if isinstance(error, MethodUnknownError) else ""
    return Answer(status.value, msgspec.json.encode(problem), PROBLEM_JSON, allow)


def _read_path(target: str) -> str:
    """Return the path of a request target in origin or absolute form (RFC 9112, section 3.2)."""
    path = target.partition("?")[0]
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    return unquote(path)
