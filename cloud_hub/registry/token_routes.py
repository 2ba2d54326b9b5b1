"""HTTP: where container tools get their short tokens (Docker's token and OAuth2 protocols of registries)."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.errors import UnauthenticatedError
from cloud_hub.registry.errors import OciInputError
from cloud_hub.registry.scopes import parse_scopes
from cloud_hub.registry.tokens import Issued

router = guarded_router("/v2", "registry")


@router.get("/token")
def token(request: Request, hub: Hub, who: Who) -> dict[str, Any]:
    """Give a token for the scopes asked; user and secret come as Basic (RFC 7617)."""
    user, secret = _basic(request.headers.get("Authorization", ""))
    scopes = parse_scopes(request.query_params.getlist("scope"))
    return _answer_of(hub.registry_tokens.issue(user, secret, scopes, who.address))


@router.post("/token")
async def token_by_form(request: Request, hub: Hub, who: Who) -> dict[str, Any]:
    """Give a token as OAuth2 has it (RFC 6749, section 4.3): user and secret come in a form."""
    form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=100)
    if form.get("grant_type") != ["password"]:
        raise OciInputError("there are no such grants", where="grant_type", fix="Use grant_type=password.")
    user, secret = (form.get(name, [""])[0] for name in ("username", "password"))
    scopes = parse_scopes(form.get("scope", []))
    return _answer_of(await run_in_threadpool(hub.registry_tokens.issue, user, secret, scopes, who.address))


def _answer_of(issued: Issued) -> dict[str, Any]:
    since = datetime.fromtimestamp(issued.issued_at, UTC)
    return {
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.lifetime_s,
        "issued_at": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _basic(header: str) -> tuple[str, str]:
    scheme, _, text = header.partition(" ")
    try:
        user, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise UnauthenticatedError(
            "no user and secret were shown", fix="Log in with any name and an access token, or a password."
        )
    return user, secret
