"""Every error of the scoring server, with the HTTP status of those that answer a request."""

from typing import ClassVar

from contract.errors import HeadlandError


class StartError(HeadlandError):
    """The server cannot start as it was told to; the process ends with exit code 2."""

    code = "serving-start"


class ServingSettingsError(StartError):
    """The environment does not say, or says wrongly, what to serve and where."""

    code = "serving-settings"


class ModelUnusableError(StartError):
    """The model folder does not hold one ONNX model that can be loaded and fed."""

    code = "model-unusable"


class ScriptUnusableError(StartError):
    """The scoring script cannot be loaded, or its ``init()`` raised."""

    code = "script-unusable"


class AgentUnreachableError(HeadlandError):
    """The agent's socket gave no complete answer; the same call may succeed later."""

    code = "agent-unreachable"
    retriable = True


class RequestError(HeadlandError):
    """A request that gets an error as its answer; ``status`` is its HTTP status."""

    code = "scoring-request"
    status: ClassVar[int] = 400


class MalformedRequestError(RequestError):
    """The bytes on the connection are not an HTTP/1.1 request."""

    code = "http-malformed"


class HeadTooLargeError(RequestError):
    """The request line and headers are larger than the server reads."""

    code = "http-head-too-large"
    status = 431


class BodyTooLargeError(RequestError):
    """The body is larger than the server reads."""

    code = "http-body-too-large"
    status = 413


class RequestTimeoutError(RequestError):
    """A request was begun and not finished in time."""

    code = "http-request-timeout"
    status = 408
    retriable = True


class ExpectationError(RequestError):
    """An ``Expect`` header asks for something other than ``100-continue``."""

    code = "http-expectation"
    status = 417


class ContentCodingError(RequestError):
    """The body is compressed, which the server does not read."""

    code = "http-content-coding"
    status = 415


class RouteUnknownError(RequestError):
    """There is nothing at this path."""

    code = "scoring-route-unknown"
    status = 404


class MethodUnknownError(RequestError):
    """The path exists, but not with this method; ``allow`` lists those it has."""

    code = "scoring-method"
    status = 405

    def __init__(self, what: str, *, allow: str, where: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix)
        self.allow = allow


class ModelUnknownError(RequestError):
    """The path names a model or version other than the one served here."""

    code = "scoring-model-unknown"
    status = 404


class BodyInvalidError(RequestError):
    """The body is not the JSON document that the route expects."""

    code = "scoring-body-invalid"


class TensorInvalidError(RequestError):
    """A tensor's name, datatype, shape or data does not fit itself or the model."""

    code = "scoring-tensor-invalid"


class InputRefusedError(RequestError):
    """The tensors have the declared form, but the model's own run refuses them as arguments."""

    code = "scoring-input-refused"


class NoTensorsError(RequestError):
    """The model is a script: it takes a raw body and declares no tensors."""

    code = "scoring-no-tensors"


class ModelFailedError(RequestError):
    """The model, or the script, failed on this request."""

    code = "scoring-model-failed"
    status = 500


class ServerFailedError(RequestError):
    """The server itself failed on this request: a defect of ours."""

    code = "scoring-server-failed"
    status = 500
