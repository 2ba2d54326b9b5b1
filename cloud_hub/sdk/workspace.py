"""A workspace: experiments, models, images, devices, rollouts, telemetry."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cloud_hub.sdk.access import Members
from cloud_hub.sdk.client import Client
from cloud_hub.sdk.errors import ActivityFailedError
from cloud_hub.sdk.models import ModelCalls
from cloud_hub.sdk.run import Run
from cloud_hub.sdk.transfer import look_at, upload
from cloud_hub.sdk.types import (
    Activity,
    Device,
    Image,
    Pulled,
    QueryResult,
    Rollout,
    RunInfo,
    Stream,
)
from contract.enrolment import Invitation

POLL_S = 0.25


class Workspace(ModelCalls):
    """One workspace of a hub."""

    def __init__(self, client: Client, name: str) -> None:
        super().__init__(client, name)
        self.members = Members(client, name)

    def start_run(
        self, experiment: str, *, parent: str | None = None, source: dict[str, str] | None = None
    ) -> Run:
        """Start a run of an experiment; ``source`` says what runs, such as its commit and command."""
        body = {"parent": parent, "source": source or {}}
        info = self._client.post(f"{self._path}/experiments/{experiment}/runs", body, RunInfo)
        return Run(self._client, self.name, info)

    def runs(self, experiment: str | None = None, *, parent: str | None = None) -> list[RunInfo]:
        """Return runs, newest first; of an experiment, or the parts of a run."""
        return self._client.get(f"{self._path}/runs", list[RunInfo], experiment=experiment, parent=parent)

    def run(self, run_id: str) -> RunInfo:
        """Return a run with its metrics."""
        return self._client.get(f"{self._path}/runs/{run_id}", RunInfo)

    def start_build(self, name: str, model: str, script: Path | None = None) -> Activity:
        """Start to build image ``name`` of a model; follow the activity."""
        digest = None
        if script is not None:
            file = look_at(script)
            upload(self._client, self.name, file)
            digest = file.digest
        body = {"name": name, "model": model, "script_digest": digest}
        return self._client.post(f"{self._path}/images/builds", body, Activity)

    def build_image(
        self,
        name: str,
        model: str,
        script: Path | None = None,
        follow: Callable[[Activity], None] | None = None,
    ) -> Image:
        """Build image ``name`` of a model and wait for it."""
        done = self.wait(self.start_build(name, model, script).id, follow)
        return self.image((done.result or {})["image"])

    def images(self) -> list[Image]:
        """Return all versions of all images."""
        return self._client.get(f"{self._path}/images", list[Image])

    def image(self, name: str) -> Image:
        """Return ``name`` (its newest version) or ``name:version``."""
        return self._client.get(f"{self._path}/images/{name}", Image)

    def invite_device(self, device: str, hours: int = 24, *, replace: bool = False) -> Invitation:
        """Pre-register a device, or let it enrol again; the invitation holds its one-time token."""
        body = {"device": device, "hours": hours, "replace": replace}
        return self._client.post(f"{self._path}/devices", body, Invitation)

    def devices(self) -> list[Device]:
        """Return the devices."""
        return self._client.get(f"{self._path}/devices", list[Device])

    def device(self, device: str) -> Device:
        """Return a device."""
        return self._client.get(f"{self._path}/devices/{device}", Device)

    def pulled(self, device: str, since: datetime | None = None) -> Pulled:
        """Return how much the registry sent to a device."""
        moment = since.isoformat() if since else None
        return self._client.get(f"{self._path}/devices/{device}/pulled", Pulled, since=moment)

    def apply_rollout(self, manifest: str) -> Rollout:
        """Apply a rollout manifest (YAML text)."""
        return self._client.post_text(f"{self._path}/rollouts", manifest, "application/yaml", Rollout)

    def rollouts(self) -> list[Rollout]:
        """Return every revision of every rollout, newest first."""
        return self._client.get(f"{self._path}/rollouts", list[Rollout])

    def rollout(self, name: str) -> Rollout:
        """Return the newest revision of a rollout."""
        return self._client.get(f"{self._path}/rollouts/{name}", Rollout)

    def query(self, sql: str, limit: int = 10_000) -> QueryResult:
        """Run one SELECT over the telemetry; each stream is a table."""
        return self._client.post(f"{self._path}/telemetry/query", {"sql": sql, "limit": limit}, QueryResult)

    def streams(self) -> list[Stream]:
        """Return the telemetry streams."""
        return self._client.get(f"{self._path}/telemetry/streams", list[Stream])

    def activities(self) -> list[Activity]:
        """Return activities, newest first."""
        return self._client.get(f"{self._path}/activities", list[Activity])

    def activity(self, activity_id: str) -> Activity:
        """Return one activity."""
        return self._client.get(f"{self._path}/activities/{activity_id}", Activity)

    def wait(self, activity_id: str, follow: Callable[[Activity], None] | None = None) -> Activity:
        """Wait for an activity's end; raises `ActivityFailedError` where it failed."""
        while True:
            activity = self.activity(activity_id)
            if follow is not None:
                follow(activity)
            if activity.ended:
                break
            time.sleep(POLL_S)
        if activity.state != "completed":
            error = {"code": "unknown", "detail": "no reason"} | (activity.error or {})
            raise ActivityFailedError(
                f"{activity.kind} failed: {error['detail']} [{error['code']}]",
                where=error.get("where", ""),
                fix=error.get("fix", ""),
            )
        return activity
