"""Errors below ``/v2/``: the form, the codes and the challenges that the OCI Distribution API has.

``{"errors": [{"code", "message", "detail"}]}``; ``detail`` is the problem that the rest of the API tells.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import Request, Response

from cloud_hub import errors
from cloud_hub.registry import errors as registry
from cloud_hub.registry.scopes import scope
from contract.errors import HeadlandError, Problem

SERVICE: Final = "headland"
REPOSITORY: Final = re.compile(r"/v2/([^/]+/[^/]+)/(?:manifests|blobs|tags|referrers)/.*")
HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
PUSH: Final = ("pull", "push")
ASKS: Final[Mapping[str, tuple[str, ...]]] = {"GET": ("pull",), "HEAD": ("pull",), "DELETE": ("delete",)}

# The most special class of an error counts, along its bases.
CODES: Final[Mapping[type[HeadlandError], str]] = {
    registry.RepositoryUnknownError: "NAME_UNKNOWN",
    registry.NameInvalidError: "NAME_INVALID",
    registry.ManifestUnknownError: "MANIFEST_UNKNOWN",
    registry.ManifestInvalidError: "MANIFEST_INVALID",
    registry.ManifestBlobUnknownError: "MANIFEST_BLOB_UNKNOWN",
    registry.BlobUnknownError: "BLOB_UNKNOWN",
    registry.PushUnknownError: "BLOB_UPLOAD_UNKNOWN",
    registry.RangeInvalidError: "BLOB_UPLOAD_INVALID",
    registry.DigestInvalidError: "DIGEST_INVALID",
    errors.UploadBusyError: "BLOB_UPLOAD_INVALID",
    errors.TooLargeError: "SIZE_INVALID",
    errors.ConflictError: "DENIED",
}
BY_STATUS: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHORIZED",
    HTTPStatus.FORBIDDEN: "DENIED",
    HTTPStatus.NOT_FOUND: "NAME_UNKNOWN",
    HTTPStatus.TOO_MANY_REQUESTS: "TOOMANYREQUESTS",
}
OTHERWISE: Final = "UNSUPPORTED"
UNAVAILABLE: Final = "UNAVAILABLE"
"""For the hub's own failures, of which the specification has no code."""


def is_of_registry(request: Request) -> bool:
    """Is the request one of the registry's?"""
    return request.url.path == "/v2" or request.url.path.startswith("/v2/")


def told(request: Request, problem: Problem, error: Exception | None, headers: Mapping[str, str]) -> Response:
    """Return the answer that tells of a problem, with the challenge where a credential is missing."""
    body = {
        "errors": [
            {
                "code": code_of(error, problem.status),
                "message": f"{problem.detail}. {problem.fix}" if problem.fix else problem.detail,
                "detail": msgspec.to_builtins(problem),
            }
        ]
    }
    more = dict(headers)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        more["WWW-Authenticate"] = challenge(request, error)
    return Response(msgspec.json.encode(body), problem.status, more, "application/json")


def code_of(error: Exception | None, status: int) -> str:
    """Return the specification's code of an error that is told with ``status``."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return UNAVAILABLE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else BY_STATUS.get(status, OTHERWISE)


def challenge(request: Request, error: Exception | None) -> str:
    """Return what ``WWW-Authenticate`` says: where a token is got, and for what it must be."""
    if request.url.path == "/v2/token":
        return f'Basic realm="{SERVICE}"'
    # The name that the client itself called the hub by: that one it reaches, and trusts.
    host = request.headers.get("Host", "")
    parts = [f'realm="https://{host}/v2/token"'] if HOST.fullmatch(host) else []
    parts.append(f'service="{SERVICE}"')
    found = REPOSITORY.fullmatch(request.url.path)
    if found is not None and HOST.fullmatch(found[1].replace("/", "")):
        parts.append(f'scope="{scope(found[1], _asked(request))}"')
    if isinstance(error, registry.ScopeMissingError):
        parts.append('error="insufficient_scope"')
    return f"Bearer {','.join(parts)}"


def _asked(request: Request) -> tuple[str, ...]:
    """Return the actions that a token must be for.

    Who asks for the head of a blob is about to push it: a client that keeps its first token, as oras for
    Python does, needs one that is good for that too.
    """
    path = request.url.path
    pushes = "/blobs/uploads/" in path or (request.method == "HEAD" and "/blobs/" in path)
    return PUSH if pushes else ASKS.get(request.method, PUSH)
