"""Errors at the HTTP edge: RFC 9457 problems, from one table of statuses."""

import logging
import uuid
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from cloud_hub import errors
from cloud_hub.activities.errors import TooManyStreamsError
from cloud_hub.api import oci_problems
from cloud_hub.archives.errors import ArchiveStorageError
from cloud_hub.audit.errors import AuditBrokenError
from cloud_hub.blobs.errors import ReadCacheError, StoreConfigError, StoreError
from cloud_hub.broker.errors import BrokerError
from cloud_hub.oci_client.errors import RegistryDeniedError, RegistryError, RegistryNotFoundError
from cloud_hub.outbound.errors import OutboundFailedError, OutboundTooLargeError
from cloud_hub.pki.errors import CsrRefusedError
from cloud_hub.registry.errors import BlobKeptError, OciInputError, RangeInvalidError
from cloud_hub.secrets.errors import SecretDestroyedError, SecretUnreadableError
from contract.baseline import InvalidBaselineError
from contract.digests import InvalidDigestError
from contract.encoding import encode
from contract.errors import ContractError, FieldProblem, HeadlandError, Problem
from contract.ids import InvalidNameError

log = logging.getLogger(__name__)

WITH_ERRORS = (errors.InvalidInputError, errors.ModelInUseError, errors.ImageInUseError)

# The most special class of an error counts, along its bases.
STATUS: dict[type[HeadlandError], HTTPStatus] = {
    HeadlandError: HTTPStatus.INTERNAL_SERVER_ERROR,
    ContractError: HTTPStatus.BAD_REQUEST,
    InvalidBaselineError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidNameError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidDigestError: HTTPStatus.UNPROCESSABLE_ENTITY,
    CsrRefusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooManyStreamsError: HTTPStatus.SERVICE_UNAVAILABLE,
    BrokerError: HTTPStatus.SERVICE_UNAVAILABLE,
    AuditBrokenError: HTTPStatus.INTERNAL_SERVER_ERROR,
    SecretDestroyedError: HTTPStatus.GONE,
    SecretUnreadableError: HTTPStatus.INTERNAL_SERVER_ERROR,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ReadCacheError: HTTPStatus.UNPROCESSABLE_ENTITY,
    OutboundFailedError: HTTPStatus.BAD_GATEWAY,
    OutboundTooLargeError: HTTPStatus.BAD_GATEWAY,
    RegistryError: HTTPStatus.BAD_GATEWAY,
    RegistryNotFoundError: HTTPStatus.UNPROCESSABLE_ENTITY,
    RegistryDeniedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ArchiveStorageError: HTTPStatus.INSUFFICIENT_STORAGE,
    OciInputError: HTTPStatus.BAD_REQUEST,
    RangeInvalidError: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    BlobKeptError: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.CredentialError: HTTPStatus.UNAUTHORIZED,
    errors.TooManyAttemptsError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.StorageFailedError: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.RequestTimeoutError: HTTPStatus.REQUEST_TIMEOUT,
    errors.TokenUsedError: HTTPStatus.CONFLICT,
    errors.TokenExpiredError: HTTPStatus.FORBIDDEN,
    errors.TokenUnknownError: HTTPStatus.FORBIDDEN,
    errors.ClaimUnknownError: HTTPStatus.FORBIDDEN,
    errors.ClaimExpiredError: HTTPStatus.FORBIDDEN,
    errors.DatabaseUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: HeadlandError) -> HTTPStatus:
    """Return the status that an error is told with."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem."""
    app.add_exception_handler(HeadlandError, _headland)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _answer(
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    where: str = "",
    fix: str = "",
    retriable: bool = False,
    errors: tuple[FieldProblem, ...] = (),
    request_id: str = "",
    retry_after_s: int | None = None,
    request: Request | None = None,
    error: Exception | None = None,
) -> Response:
    problem = Problem(
        type=f"urn:headland:error:{code}",
        title=status.phrase,
        status=status.value,
        detail=detail,
        code=code,
        where=where,
        fix=fix,
        request_id=request_id or uuid.uuid4().hex,
        retriable=retriable,
        errors=errors,
    )
    headers = {"WWW-Authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else {}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if request is not None and oci_problems.is_of_registry(request):
        return oci_problems.told(request, problem, error, headers)
    return Response(encode(problem), status.value, headers, "application/problem+json")


def _headland(request: Request, error: Exception) -> Response:
    if not isinstance(error, HeadlandError):
        raise TypeError("the handler of HeadlandError got another error")
    return to_response(error, request)


def to_response(error: HeadlandError, request: Request) -> Response:
    """Return the problem that tells of ``error``, in the form that the request's part of the API has."""
    status = status_of(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("a request failed: %s", error, exc_info=error)
    problems = error.errors if isinstance(error, WITH_ERRORS) else ()
    return _answer(
        status,
        error.code,
        error.what,
        where=error.where,
        fix=error.fix,
        retriable=error.retriable,
        errors=problems,
        retry_after_s=error.retry_after_s if isinstance(error, errors.TooManyAttemptsError) else None,
        request=request,
        error=error,
    )


def _validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError("the handler of RequestValidationError got another error")
    problems = tuple(
        FieldProblem(field=".".join(map(str, fault["loc"])), reason=str(fault["msg"]))
        for fault in error.errors()
    )
    return _answer(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-request",
        "the request is not valid",
        fix="See the API's description at /api/docs.",
        errors=problems,
        request=request,
        error=error,
    )


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError("the handler of HTTPException got another error")
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "-")
    return _answer(status, code, str(error.detail), request=request, error=error)


def _unexpected(request: Request, error: Exception) -> Response:
    request_id = uuid.uuid4().hex
    log.error("request %s failed unexpectedly", request_id, exc_info=error)
    return _answer(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "an unexpected error",
        fix="The hub's log has the reason under the request id.",
        request_id=request_id,
        request=request,
        error=error,
    )
