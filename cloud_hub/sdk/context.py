"""Which hub the SDK and the CLI talk to, as whom: a file that only its owner can read.

`HEADLAND_CONTEXT` names the file; else it is ``$XDG_CONFIG_HOME/headland/context.json``.
"""

import os
from pathlib import Path

import msgspec

from cloud_hub.sdk.errors import NotConnectedError
from contract.encoding import decode, encode

FIX = "Run `headland hub init`, or `headland login` with a token of an existing hub."


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """A hub's address, its CA certificate (PEM), a token, and the workspace to work in."""

    hub: str
    ca_pem: str
    token: str
    workspace: str = ""


class LoginInvitation(msgspec.Struct, frozen=True, kw_only=True):
    """What a person needs to log in for the first time; ``token`` works once."""

    hub: str
    ca_pem: str
    user: str
    token: str


def context_file() -> Path:
    """Return where the context is."""
    named = os.environ.get("HEADLAND_CONTEXT")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "headland" / "context.json"


def load_context() -> Context:
    """Return the context; raises `NotConnectedError`."""
    path = context_file()
    try:
        return decode(path.read_bytes(), Context, what="context")
    except FileNotFoundError as error:
        raise NotConnectedError("no hub is known here", where=str(path), fix=FIX) from error


def save_context(context: Context) -> Path:
    """Write the context with mode 0600, whole or not at all; return where."""
    path = context_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(encode(context))
    beside.replace(path)
    return path
