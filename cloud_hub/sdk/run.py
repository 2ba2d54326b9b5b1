"""A run as the training code sees it."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.transfer import look_at, upload
from cloud_hub.sdk.types import RunInfo

Scalar = str | int | float | bool | None
METRICS_AT_ONCE = 1_000


class Run:
    """A run that is going on. As a context manager it ends ``completed``, or ``failed`` on an error."""

    def __init__(self, client: Client, workspace: str, info: RunInfo) -> None:
        self._client = client
        self._workspace = workspace
        self._path = f"/workspaces/{workspace}/runs/{info.id}"
        self.id = info.id
        self.experiment = info.experiment

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.finish("failed" if kind else "completed")

    def log_parameters(self, /, **parameters: Scalar) -> None:
        """Add parameters by name."""
        self._client.post(f"{self._path}/parameters", {"parameters": parameters}, RunInfo)

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Add one value of a metric."""
        self._client.post_nothing(
            f"{self._path}/metrics", {"name": name, "value": float(value), "step": step}
        )

    def log_metrics(self, values: Iterable[tuple[str, float, int]]) -> None:
        """Add many values (name, value, step), a thousand at a time."""
        batch: list[dict[str, str | float | int]] = []
        for name, value, step in values:
            batch.append({"name": name, "value": float(value), "step": step})
            if len(batch) == METRICS_AT_ONCE:
                self._client.post_nothing(f"{self._path}/metrics", batch)
                batch = []
        if batch:
            self._client.post_nothing(f"{self._path}/metrics", batch)

    def log_output(self, path: Path, name: str = "") -> str:
        """Upload a file as an output of the run; return its digest."""
        file = look_at(path)
        upload(self._client, self._workspace, file)
        digest = file.digest
        self._client.post(f"{self._path}/outputs", {"name": name or path.name, "digest": digest}, RunInfo)
        return digest

    def finish(self, status: str = "completed") -> RunInfo:
        """End the run: ``completed`` or ``failed``."""
        return self._client.post(f"{self._path}/finish", {"status": status}, RunInfo)
