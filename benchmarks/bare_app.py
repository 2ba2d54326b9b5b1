"""The peer of the hub's API: the same routes in a bare FastAPI app under uvicorn's defaults and the same TLS.

`python -m benchmarks.bare_app --port N --folder DIR --certificate PEM --key PEM`. It knows no people, no
rights and no rules. A read answers from memory, through the same schemas as the hub; the write is one row by
plain SQL into a SQLite file that is as durable as the hub's (WAL, FULL).
"""

import argparse
import json
import sqlite3
import threading
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Query

from cloud_hub.experiments.routes import MetricAsk, Values
from cloud_hub.models.schemas import ModelAnswer, ModelPage
from cloud_hub.workspaces.routes import WorkspaceAnswer

ANSWERS = "answers.json"


class Metrics:
    """One table; a row is on disk when `add` returns."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE metrics (run TEXT, name TEXT, step INTEGER, value REAL)")
        self._turn = threading.Lock()

    def add(self, run: str, name: str, step: int, value: float) -> None:
        """Keep one value."""
        with self._turn:
            self._connection.execute("INSERT INTO metrics VALUES (?, ?, ?, ?)", (run, name, step, value))


def bare_app(folder: Path) -> FastAPI:
    """Return the app; ``folder`` holds the hub's own answers to the same requests as JSON."""
    answers = json.loads((folder / ANSWERS).read_text())
    workspaces = [WorkspaceAnswer.model_validate(one) for one in answers["workspaces"]]
    models = [ModelAnswer.model_validate(one) for one in answers["models"]]
    by_name = {f"{one.name}:{one.version}": one for one in models}
    metrics = Metrics(folder / "bare.db")
    app = FastAPI()

    @app.get("/api/v1/workspaces")
    def visible() -> list[WorkspaceAnswer]:
        return workspaces

    @app.get("/api/v1/workspaces/{workspace}/models")
    def found(workspace: str, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> ModelPage:  # noqa: ARG001
        return ModelPage(items=models[:limit], next=None)

    @app.get("/api/v1/workspaces/{workspace}/models/{model}")
    def show(workspace: str, model: str) -> ModelAnswer:  # noqa: ARG001
        return by_name[model]

    @app.post("/api/v1/workspaces/{workspace}/runs/{run}/metrics", status_code=204)
    def log_metrics(workspace: str, run: str, ask: MetricAsk | Values) -> None:  # noqa: ARG001
        for one in ask if isinstance(ask, list) else [ask]:
            metrics.add(run, one.name, one.step, one.value)

    return app


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_app", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    options = parser.parse_args()
    uvicorn.run(
        bare_app(options.folder),
        host="127.0.0.1",
        port=options.port,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
