"""An experiment: the name that runs share, as training code sees it."""

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.run import Run
from cloud_hub.sdk.types import RunInfo


class Experiment:
    """Runs of one name in a workspace; it is there with its first run."""

    def __init__(self, client: Client, workspace: str, name: str) -> None:
        self._client = client
        self._workspace = workspace
        self.name = name

    def start_run(self, *, parent: str | None = None, source: dict[str, str] | None = None) -> Run:
        """Start a run; ``source`` says what runs, such as its commit and command."""
        body = {"parent": parent, "source": source or {}}
        path = f"/workspaces/{self._workspace}/experiments/{self.name}/runs"
        return Run(self._client, self._workspace, self._client.post(path, body, RunInfo))

    def runs(self) -> list[RunInfo]:
        """Return its runs, newest first."""
        return self._client.get(f"/workspaces/{self._workspace}/runs", list[RunInfo], experiment=self.name)
