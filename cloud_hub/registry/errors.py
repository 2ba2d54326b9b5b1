"""Errors of the registry. What the OCI specification calls each is in `cloud_hub.api.oci_problems`."""

from cloud_hub.errors import (
    ConflictError,
    HubError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)


class RepositoryUnknownError(NotFoundError):
    """There is no such repository, or the caller may not know that there is."""

    code = "repository-unknown"


class ManifestUnknownError(NotFoundError):
    """The repository has no such manifest or tag."""

    code = "manifest-unknown"


class BlobUnknownError(NotFoundError):
    """The repository has no such blob."""

    code = "blob-unknown"


class PushUnknownError(NotFoundError):
    """There is no such upload session in the repository, or what had arrived of it is lost."""

    code = "push-unknown"


class ManifestBlobUnknownError(NotFoundError):
    """A manifest names what the repository does not have."""

    code = "manifest-blob-unknown"


class OciInputError(InvalidInputError):
    """A request to the registry is not as the OCI specification has it."""

    code = "oci-request-invalid"


class ManifestInvalidError(OciInputError):
    """A manifest cannot be read, or is of a kind that the registry does not keep."""

    code = "oci-manifest-invalid"


class DigestInvalidError(OciInputError):
    """What was sent does not have the digest that was said, or it is no sha256 digest."""

    code = "oci-digest-invalid"


class RangeInvalidError(HubError):
    """A part of a blob does not begin where the upload stands, or is not as long as it says."""

    code = "push-range-invalid"
    retriable = True


class ImageKeptError(ConflictError):
    """What a deployment, the registry of images or another manifest needs is not deleted or written over."""

    code = "image-kept"


class BlobKeptError(ConflictError):
    """A blob that a manifest names is not deleted."""

    code = "blob-kept"


class NameInvalidError(OciInputError):
    """A repository or a tag may not be called that."""

    code = "oci-name-invalid"


class ScopeMissingError(UnauthenticatedError):
    """The token was not given for this repository or action, though its owner may do it."""

    code = "scope-missing"
