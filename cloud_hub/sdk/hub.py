"""A hub: the door to its workspaces."""

from types import TracebackType
from typing import Self

import msgspec

from cloud_hub.sdk.access import Session, Tokens, Users
from cloud_hub.sdk.audit import AuditLog
from cloud_hub.sdk.client import Client
from cloud_hub.sdk.context import Context, load_context, save_context
from cloud_hub.sdk.errors import NotConnectedError, SdkError
from cloud_hub.sdk.types import HubProcess
from cloud_hub.sdk.workspace import Workspace
from cloud_hub.sdk.workspace_types import WorkspaceInfo


class Hub:
    """A connection to a hub; use it as a context manager."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._client = Client(context)
        self.session = Session(self._client)
        self.tokens = Tokens(self._client)
        self.users = Users(self._client)

    @classmethod
    def connect(cls) -> Self:
        """Connect to the hub of the current context."""
        return cls(load_context())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._client.close()

    def create_workspace(
        self,
        name: str,
        *,
        datastore: str = "",
        datastore_name: str = "default",
        credentials: str | None = None,
        secret_name: str = "datastore-key",  # noqa: S107  the name of a secret
        telemetry_datastore: str | None = None,
    ) -> WorkspaceInfo:
        """Make a workspace; the hub's administrator may.

        ``datastore`` is the address of an existing place that becomes its default datastore;
        ``credentials`` for it, JSON as in docs/datastores.md, become its secret ``secret_name``.
        ``telemetry_datastore`` is the datastore's name, if telemetry shall go there. All or nothing is made.
        """
        secret = {"name": secret_name, "value": credentials} if credentials is not None else None
        first = {"name": datastore_name, "url": datastore, "secret": secret} if datastore else None
        if first is None and secret is not None:
            raise SdkError("credentials for no datastore", where=name, fix="Give its address too.")
        asked = {"datastore": first, "telemetry_datastore": telemetry_datastore}
        body = {"name": name} | {key: value for key, value in asked.items() if value is not None}
        return self._client.post("/workspaces", body, WorkspaceInfo)

    def workspaces(self) -> list[WorkspaceInfo]:
        """Return the workspaces that you may see."""
        return self._client.get("/workspaces", list[WorkspaceInfo])

    def processes(self) -> list[HubProcess]:
        """Return the processes that the hub is; its administrator may."""
        return self._client.get("/hub/processes", list[HubProcess])

    @property
    def audit(self) -> AuditLog:
        """The hub's own audit log, for its administrator."""
        return AuditLog(self._client, "/audit")

    def workspace(self, name: str = "") -> Workspace:
        """Return a workspace by name, or the context's."""
        chosen = name or self.context.workspace
        if not chosen:
            raise NotConnectedError(
                "no workspace is chosen", fix="Give --workspace, or run `headland workspace use NAME`."
            )
        return Workspace(self._client, chosen)

    def use_workspace(self, name: str) -> None:
        """Make a workspace the context's own."""
        self._client.get(f"/workspaces/{name}", WorkspaceInfo)
        self.context = msgspec.structs.replace(self.context, workspace=name)
        save_context(self.context)
