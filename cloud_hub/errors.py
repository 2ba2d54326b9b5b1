"""The hub's error tree. Codes are stable; HTTP status codes appear only in `cloud_hub.api.problems`."""

from contract.errors import FieldProblem, HeadlandError


class HubError(HeadlandError):
    """Root of the hub's errors."""

    code = "hub-error"


class NotFoundError(HubError):
    """It does not exist, or the caller may not know that it does."""

    code = "not-found"


class ConflictError(HubError):
    """It cannot be done in the present state."""

    code = "conflict"


class BlobGoneError(ConflictError):
    """Bytes that were uploaded or built earlier have been deleted since."""

    code = "blob-gone"


class UploadOffsetError(ConflictError):
    """An upload stands elsewhere than the sender says."""

    code = "upload-offset"
    retriable = True


class UploadBusyError(ConflictError):
    """Another request writes to the same upload."""

    code = "upload-busy"
    retriable = True


class StorageFailedError(HubError):
    """The hub's disk did not take what was sent."""

    code = "storage-failed"
    retriable = True


class InvalidInputError(HubError):
    """What the caller sent is wrong; ``errors`` lists every field."""

    code = "invalid-input"

    def __init__(
        self, what: str, *, where: str = "", fix: str = "", errors: tuple[FieldProblem, ...] = ()
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.errors = errors


class ModelInUseError(ConflictError):
    """A model cannot be deleted: images hold it; ``errors`` names each."""

    code = "model-in-use"

    def __init__(self, what: str, *, where: str, fix: str, errors: tuple[FieldProblem, ...]) -> None:
        super().__init__(what, where=where, fix=fix)
        self.errors = errors


class ImageInUseError(ConflictError):
    """An image cannot be deleted: deployments use it; ``errors`` names each rollout and device."""

    code = "image-in-use"

    def __init__(self, what: str, *, where: str, fix: str, errors: tuple[FieldProblem, ...]) -> None:
        super().__init__(what, where=where, fix=fix)
        self.errors = errors


class DatastoreInUseError(ConflictError):
    """A datastore cannot be detached: telemetry goes to it, or is in it."""

    code = "datastore-in-use"


class CredentialError(HubError):
    """A credential is wrong; it counts against who showed it."""

    code = "credential-wrong"


class TooManyAttemptsError(HubError):
    """Credentials were wrong too often; further tries wait ``retry_after_s`` seconds."""

    code = "too-many-attempts"
    retriable = True

    def __init__(self, what: str, *, retry_after_s: int, fix: str) -> None:
        super().__init__(what, fix=fix)
        self.retry_after_s = retry_after_s


class UnauthenticatedError(CredentialError):
    """The caller did not show a valid credential."""

    code = "unauthenticated"


class ForbiddenError(HubError):
    """The caller's role does not allow it."""

    code = "forbidden"


class TooLargeError(HubError):
    """A body or file is larger than allowed."""

    code = "too-large"


class RequestTimeoutError(HubError):
    """A request's body came too slowly."""

    code = "request-timeout"
    retriable = True


class ModelRefusedError(InvalidInputError):
    """A model's files are not what the hub takes in."""

    code = "model-refused"


class ImageRefusedError(InvalidInputError):
    """What was pushed is no image that a device can run, or not all of it is there."""

    code = "image-refused"


class NotOnnxError(ModelRefusedError):
    """A model file is not a self-contained ONNX model."""

    code = "not-onnx"


class ManifestError(InvalidInputError):
    """A manifest is not valid; ``errors`` has field, line and reason of each fault."""

    code = "manifest-invalid"


class DeviceListError(InvalidInputError):
    """A list of devices is not valid, or names are taken; ``errors`` has line and reason of each fault."""

    code = "device-list-invalid"


class TokenUsedError(CredentialError):
    """A one-time token was used before."""

    code = "token-used"


class TokenExpiredError(CredentialError):
    """A one-time token's time is over."""

    code = "token-expired"


class TokenUnknownError(CredentialError):
    """A one-time token that this hub never made."""

    code = "token-unknown"


class ClaimUnknownError(CredentialError):
    """A claim that this hub never made, or that was revoked."""

    code = "claim-unknown"


class ClaimExpiredError(CredentialError):
    """A claim's time is over: no further device may ask by it."""

    code = "claim-expired"


class ClaimFullError(ConflictError):
    """As many devices wait, or were accepted, as the claim is for."""

    code = "claim-full"
    retriable = True


class EnrolmentRejectedError(ForbiddenError):
    """An Owner does not let this device in."""

    code = "enrolment-rejected"


class HubSettingsError(HubError):
    """The hub's settings file is missing, unreadable or wrong."""

    code = "hub-settings-invalid"


class NotInitialisedError(HubError):
    """There is no hub in the data folder yet."""

    code = "hub-not-initialised"


class AlreadyInitialisedError(HubError):
    """The data folder holds a hub already."""

    code = "hub-already-initialised"


class HubRunningError(HubError):
    """Another hub process works on the same data folder, or holds a port."""

    code = "hub-already-running"


class QueryError(InvalidInputError):
    """A telemetry query cannot be run."""

    code = "query-invalid"


class DatabaseUnavailableError(HubError):
    """The database cannot be reached, or did not get to it in time."""

    code = "database-unavailable"
    retriable = True


class ForeignDatabaseError(HubError):
    """The database belongs to a hub with another CA."""

    code = "database-of-another-hub"


class SchemaNewerError(HubError):
    """The database was migrated by a newer release."""

    code = "schema-newer"
