"""People, members, services and tokens."""

from cloud_hub.sdk.access_types import Me, Member, NewToken, Token, User, UserInvitation
from cloud_hub.sdk.client import Client


class Session:
    """Logging in and out: what turns a password into a token."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def log_in(self, user: str, password: str) -> NewToken:
        """Return a token that works for some hours."""
        return self._client.post("/session", {"user": user, "password": password}, NewToken)

    def accept(self, invitation: str, password: str) -> NewToken:
        """Choose a password with an invitation's token; return a session's token."""
        body = {"token": invitation, "password": password}
        return self._client.post("/session/invitation", body, NewToken)

    def log_out(self) -> None:
        """End the token of this connection."""
        self._client.delete("/session")

    def me(self) -> Me:
        """Return who you are, and what you are where."""
        return self._client.get("/me", Me)

    def change_password(self, old: str, new: str) -> NewToken:
        """Change your password; all your tokens end but the one returned."""
        return self._client.put("/me/password", {"old": old, "new": new}, NewToken)


class Tokens:
    """Your own tokens."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self, *, role: str | None = None, workspace: str | None = None, days: int = 30, label: str = ""
    ) -> NewToken:
        """Make a token; its secret is shown this once."""
        body = {"role": role, "workspace": workspace, "days": days, "label": label}
        return self._client.post("/me/tokens", body, NewToken)

    def all(self) -> list[Token]:
        """Return your tokens, newest first."""
        return self._client.get("/me/tokens", list[Token])

    def revoke(self, token: str) -> None:
        """Take a token back, by its id."""
        self._client.delete(f"/me/tokens/{token}")


class Users:
    """The hub's people, for its administrator."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, name: str, *, admin: bool = False) -> UserInvitation:
        """Add a person; the invitation lets them choose a password."""
        return self._client.post("/users", {"name": name, "admin": admin}, UserInvitation)

    def invite(self, name: str) -> UserInvitation:
        """Let a person choose a new password."""
        return self._client.post(f"/users/{name}/invitation", {}, UserInvitation)

    def change(self, name: str, *, disabled: bool | None = None, admin: bool | None = None) -> User:
        """Disable or enable a person, or give or take the hub's administration."""
        return self._client.patch(f"/users/{name}", {"disabled": disabled, "admin": admin}, User)

    def all(self) -> list[User]:
        """Return everyone by name."""
        return self._client.get("/users", list[User])


class Members:
    """Who shares a workspace."""

    def __init__(self, client: Client, workspace: str) -> None:
        self._client = client
        self._path = f"/workspaces/{workspace}"

    def all(self) -> list[Member]:
        """Return people and services."""
        return self._client.get(f"{self._path}/members", list[Member])

    def share(self, person: str, role: str) -> Member:
        """Make a person a member, or change their role."""
        return self._client.put(f"{self._path}/members/{person}", {"role": role}, Member)

    def unshare(self, person: str) -> None:
        """End a membership."""
        self._client.delete(f"{self._path}/members/{person}")

    def create_service(self, name: str, role: str) -> Member:
        """Add a service; it acts by its tokens."""
        return self._client.post(f"{self._path}/services", {"name": name, "role": role}, Member)

    def delete_service(self, name: str) -> None:
        """End a service and its tokens."""
        self._client.delete(f"{self._path}/services/{name}")

    def create_service_token(self, name: str, *, days: int = 30, label: str = "") -> NewToken:
        """Make a token for a service; its secret is shown this once."""
        body = {"days": days, "label": label}
        return self._client.post(f"{self._path}/services/{name}/tokens", body, NewToken)

    def service_tokens(self, name: str) -> list[Token]:
        """Return a service's tokens, newest first."""
        return self._client.get(f"{self._path}/services/{name}/tokens", list[Token])

    def revoke_service_token(self, name: str, token: str) -> None:
        """Take a service's token back, by its id."""
        self._client.delete(f"{self._path}/services/{name}/tokens/{token}")
