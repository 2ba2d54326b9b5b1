"""HTTP: workspaces."""

from datetime import datetime

from pydantic import Field, SecretStr

from cloud_hub.access.policy import API
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.datastores.first import FirstDatastore
from cloud_hub.datastores.routes import DatastoreAnswer
from cloud_hub.errors import InvalidInputError
from cloud_hub.image_stores.routes import ImageStoreAnswer
from cloud_hub.secrets.text import SecretText
from cloud_hub.telemetry.routes import TelemetryStoreAnswer
from cloud_hub.workspaces.overview import overview_of

router = guarded_router(f"{API}/workspaces", "workspaces")


class CredentialsAsk(Ask):
    """Credentials of a datastore, as the JSON text that becomes a secret of the workspace."""

    name: str = "datastore-key"
    value: SecretStr


class FirstDatastoreAsk(Ask):
    """An existing place as the workspace's default datastore, instead of one in the hub's own store."""

    name: str = "default"
    url: str = Field(max_length=2000)
    secret: CredentialsAsk | None = None


class WorkspaceAsk(Ask):
    """A new workspace; ``telemetry_datastore`` is the name of its datastore, if telemetry shall go there."""

    name: str
    datastore: FirstDatastoreAsk | None = None
    telemetry_datastore: str | None = None

    def first(self) -> FirstDatastore | None:
        """Return the datastore that is asked for; raises `InvalidInputError`."""
        name = self.datastore.name if self.datastore else "default"
        if self.telemetry_datastore not in {None, name} or (self.telemetry_datastore and not self.datastore):
            raise InvalidInputError(
                "telemetry can only go to the datastore that is attached in the same call",
                where="telemetry_datastore",
                fix="Give its address too, or choose later: headland workspace set-telemetry.",
            )
        if self.datastore is None:
            return None
        secret = self.datastore.secret
        return FirstDatastore(
            name=name,
            url=self.datastore.url,
            secret=secret.name if secret else None,
            credentials=SecretText(secret.value.get_secret_value()) if secret else None,
            telemetry=self.telemetry_datastore is not None,
        )


class WorkspaceAnswer(Answer):
    """A workspace."""

    name: str
    created_at: datetime


class OverviewAnswer(WorkspaceAnswer):
    """A workspace, where its stores are, and what it has.

    ``images`` is its place in the hub's registry; ``secrets`` is ``hub:``, the hub's vault. ``counts`` has
    members, datastores, runs, models, images (each version), devices, rollouts and secrets.
    """

    default_datastore: DatastoreAnswer
    telemetry: TelemetryStoreAnswer
    images: str
    image_store: ImageStoreAnswer
    secrets: str
    counts: dict[str, int]


@router.post("", status_code=201)
def create(ask: WorkspaceAsk, hub: Hub, who: Who) -> WorkspaceAnswer:
    """Make a workspace; an existing datastore is tried first, and all of it is made or nothing."""
    first = ask.first()
    if first is None:
        return WorkspaceAnswer.model_validate(hub.workspaces.create(ask.name, who.by))
    hub.workspaces.require_free(ask.name)
    row = hub.first_datastores.check(ask.name, first, who.by)
    made = hub.workspaces.create(
        ask.name, who.by, lambda session: hub.first_datastores.add(session, row, first.credentials, who.by)
    )
    return WorkspaceAnswer.model_validate(made)


@router.get("")
def visible(hub: Hub, who: Who) -> list[WorkspaceAnswer]:
    """Return the workspaces that the caller may see."""
    return [WorkspaceAnswer.model_validate(row) for row in hub.workspaces.visible_to(who.caller)]


@router.get("/{workspace}")
def show(hub: Hub, who: Who) -> OverviewAnswer:
    """Return a workspace: where its telemetry, files, images and secrets are, and counts."""
    found = overview_of(hub.database, hub.telemetry.state(who.workspace), who.workspace)
    return OverviewAnswer(
        name=found.name,
        created_at=found.created_at,
        default_datastore=DatastoreAnswer.model_validate(found.default_datastore),
        telemetry=TelemetryStoreAnswer.model_validate(found.telemetry),
        images=f"{hub.settings.host}:{hub.settings.https_port}/{who.workspace}",
        image_store=ImageStoreAnswer.model_validate(hub.image_stores.state(who.workspace)),
        secrets="hub:",
        counts=found.counts,
    )
