"""A workspace: experiments, models, images, devices, rollouts, telemetry, secrets, the audit log."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from cloud_hub.sdk.access import Members
from cloud_hub.sdk.agents import AgentCalls
from cloud_hub.sdk.audit import AuditLog
from cloud_hub.sdk.client import Client
from cloud_hub.sdk.datastores import Datastores
from cloud_hub.sdk.enrolments import EnrolmentCalls
from cloud_hub.sdk.errors import ActivityFailedError, SdkError
from cloud_hub.sdk.events import ActivityEvent, End, follow
from cloud_hub.sdk.experiment import Experiment
from cloud_hub.sdk.image_builds import BuildCalls
from cloud_hub.sdk.images import ImageCalls
from cloud_hub.sdk.models import ModelCalls
from cloud_hub.sdk.rollouts import RolloutCalls
from cloud_hub.sdk.run import Run
from cloud_hub.sdk.types import (
    Activity,
    Device,
    ExperimentInfo,
    Pulled,
    QueryResult,
    RunInfo,
    Stream,
)
from cloud_hub.sdk.vault_types import DestroyedVersions, Secret, SecretValue, SecretVersion
from cloud_hub.sdk.webhooks import Webhooks
from cloud_hub.sdk.workspace_types import ImageStore, TelemetryStore, WorkspaceOverview
from contract.enrolment import Invitation

PATIENCE_S = 300.0


class Workspace(ModelCalls, ImageCalls, BuildCalls, AgentCalls, RolloutCalls, EnrolmentCalls):
    """One workspace of a hub."""

    def __init__(self, client: Client, name: str) -> None:
        super().__init__(client, name)
        self.members = Members(client, name)
        self.datastores = Datastores(client, name)
        self.webhooks = Webhooks(client, name)

    def overview(self) -> WorkspaceOverview:
        """Return where telemetry, files, images and secrets of the workspace are, and counts."""
        return self._client.get(self._path, WorkspaceOverview)

    def telemetry_store(self) -> TelemetryStore:
        """Return where telemetry is, and what waits."""
        return self._client.get(f"{self._path}/telemetry/store", TelemetryStore)

    def set_telemetry_store(self, datastore: str | None) -> TelemetryStore:
        """Let new telemetry files go to a datastore, or (None) to the hub's own store; earlier ones stay."""
        return self._client.put(f"{self._path}/telemetry/store", {"datastore": datastore}, TelemetryStore)

    def image_store(self) -> ImageStore:
        """Return where new images go, and what waits."""
        return self._client.get(f"{self._path}/image-store", ImageStore)

    def set_image_store(self, url: str | None, *, secret: str | None = None) -> ImageStore:
        """Let images go to an external registry, or (None) let new ones stay on the hub.

        ``url`` is ``https://host[:port]/path``; ``secret`` names a secret of the workspace with
        ``user:password`` or a token. The registry is tried first.
        """
        return self._client.put(
            f"{self._path}/image-store", {"url": url or "hub:", "secret": secret}, ImageStore
        )

    def start_run(
        self, experiment: str, *, parent: str | None = None, source: dict[str, str] | None = None
    ) -> Run:
        """Start a run of an experiment; ``source`` says what runs, such as its commit and command."""
        return self.experiment(experiment).start_run(parent=parent, source=source)

    def experiment(self, name: str) -> Experiment:
        """Return an experiment by name, which need not have runs yet."""
        return Experiment(self._client, self.name, name)

    def experiments(self) -> list[ExperimentInfo]:
        """Return the experiments by name."""
        return self._client.get(f"{self._path}/experiments", list[ExperimentInfo])

    def resume_run(self, run_id: str) -> Run:
        """Return a run that was started elsewhere, to log to it and to finish it."""
        return Run(self._client, self.name, self.run(run_id))

    def runs(self, experiment: str | None = None, *, parent: str | None = None) -> list[RunInfo]:
        """Return runs, newest first; of an experiment, or the parts of a run."""
        return self._client.get(f"{self._path}/runs", list[RunInfo], experiment=experiment, parent=parent)

    def run(self, run_id: str) -> RunInfo:
        """Return a run with its metrics."""
        return self._client.get(f"{self._path}/runs/{run_id}", RunInfo)

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

    def tag_device(self, device: str, tags: Mapping[str, str | None]) -> Device:
        """Set tags of a device; None takes one away, the others stay."""
        return self._client.patch(f"{self._path}/devices/{device}", {"tags": dict(tags)}, Device)

    def revoke_device(self, device: str) -> Device:
        """End a device's identity and its connection; it may enrol again by an invitation that replaces."""
        return self._client.post(f"{self._path}/devices/{device}/revocation", {}, Device)

    def device_document(self, device: str) -> bytes:
        """Return a device's newest signed document, for `headland-agent apply` on a device without a hub."""
        return self._client.get_bytes(f"{self._path}/devices/{device}/document")

    def pulled(self, device: str, since: datetime | None = None) -> Pulled:
        """Return how much the registry sent to a device."""
        return self._client.get(f"{self._path}/devices/{device}/pulled", Pulled, since=since)

    def query(self, sql: str, limit: int = 10_000) -> QueryResult:
        """Run one SELECT over the telemetry; each stream is a table."""
        return self._client.post(f"{self._path}/telemetry/query", {"sql": sql, "limit": limit}, QueryResult)

    def streams(self) -> list[Stream]:
        """Return the telemetry streams."""
        return self._client.get(f"{self._path}/telemetry/streams", list[Stream])

    def set_secret(self, name: str, value: str) -> SecretVersion:
        """Store ``value`` (1 to 65,536 bytes of UTF-8) as the next version of a secret."""
        return self._client.put(f"{self._path}/secrets/{name}", {"value": value}, SecretVersion)

    def get_secret(self, name: str) -> str:
        """Return the value of ``name`` (its newest version) or ``name:version``. The hub logs the read."""
        return self._client.get(f"{self._path}/secrets/{name}/value", SecretValue).value

    def secrets(self) -> list[Secret]:
        """Return the secrets and their versions, without values."""
        return self._client.get(f"{self._path}/secrets", list[Secret])

    def secret(self, name: str) -> Secret:
        """Return a secret's versions, without values."""
        return self._client.get(f"{self._path}/secrets/{name}", Secret)

    def delete_secret(self, name: str) -> list[int]:
        """Destroy ``name:version``, or every version of ``name``, for ever; return which."""
        return self._client.delete_for(f"{self._path}/secrets/{name}", DestroyedVersions).destroyed

    @property
    def audit(self) -> AuditLog:
        """The workspace's audit log, for its Owners."""
        return AuditLog(self._client, f"{self._path}/audit")

    def activities(
        self,
        *,
        states: Sequence[str] = (),
        kind: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Activity]:
        """Return activities without their logs, newest first; ``before`` is the last id of a page."""
        return self._client.get(
            f"{self._path}/activities",
            list[Activity],
            state=list(states) or None,
            kind=kind,
            limit=limit,
            before=before,
        )

    def activity(self, activity_id: str) -> Activity:
        """Return one activity with its log."""
        return self._client.get(f"{self._path}/activities/{activity_id}", Activity)

    def cancel(self, activity_id: str) -> Activity:
        """Ask an activity to stop; one that runs ends at its next step."""
        return self._client.post(f"{self._path}/activities/{activity_id}/cancel", {}, Activity)

    def follow(self, activity_id: str, *, patience_s: float = PATIENCE_S) -> Iterator[ActivityEvent]:
        """Yield log lines, progress and at last the `End`; connects again by itself, loses no line.

        Raises `HubUnreachableError` once the hub was away for ``patience_s``.
        """
        path = f"{self._path}/activities/{activity_id}/events"
        return follow(lambda last_id: self._client.events(path, last_id), patience_s=patience_s)

    def wait(self, activity_id: str, on_event: Callable[[ActivityEvent], None] | None = None) -> Activity:
        """Wait for an activity's end; raises `ActivityFailedError` where it failed or was cancelled."""
        for event in self.follow(activity_id):
            if on_event is not None:
                on_event(event)
            if isinstance(event, End):
                return completed(event.activity)
        raise SdkError("the stream had no end", where=activity_id)


def completed(activity: Activity) -> Activity:
    """Return an ended activity that went well; raises `ActivityFailedError` for another."""
    if activity.state == "cancelled":
        raise ActivityFailedError(f"{activity.kind} was cancelled", where=activity.id)
    if activity.state != "completed":
        error = {"code": "unknown", "detail": "no reason"} | (activity.error or {})
        raise ActivityFailedError(
            f"{activity.kind} failed: {error['detail']} [{error['code']}]",
            where=error.get("where", ""),
            fix=error.get("fix", ""),
        )
    return activity
