"""Moves a file through an MLflow tracking server: run by the peers' own Python, not by the project's.

Reads one JSON command a line, `{"do": "upload" | "download", "path": PATH, "run": ID}`; answers each with
`{"seconds": S, "run": ID}`. A process that stays, so that importing MLflow is not measured.
"""

import json
import os
import sys
import time
from pathlib import Path

import mlflow


def upload(path: str) -> dict[str, object]:
    """Log the file as an artifact of a run of its own."""
    with mlflow.start_run() as run:
        began_s = time.perf_counter()
        mlflow.log_artifact(path)
        return {"seconds": time.perf_counter() - began_s, "run": run.info.run_id}


def download(run: str, name: str, folder: str) -> dict[str, object]:
    """Fetch an artifact into an empty folder."""
    began_s = time.perf_counter()
    mlflow.artifacts.download_artifacts(run_id=run, artifact_path=name, dst_path=folder)
    return {"seconds": time.perf_counter() - began_s, "run": run}


def main() -> None:
    """Serve commands until the input ends."""
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # MLflow prints addresses of its runs; only answers belong in the output
    for line in sys.stdin:
        asked = json.loads(line)
        path = Path(asked["path"])
        match asked["do"]:
            case "upload":
                answer = upload(str(path))
            case _:
                answer = download(asked["run"], path.name, str(path.parent))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
