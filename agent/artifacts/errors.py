"""What can go wrong with images on a device."""

from agent.errors import AgentError


class ArtifactError(AgentError):
    """Root of this room's errors."""

    code = "artifact-error"


class FetchError(ArtifactError):
    """The registry was not there, or broke off; a later try may work."""

    code = "fetch-failed"
    retriable = True


class FetchSlowError(FetchError):
    """The registry's bytes came too slowly; those that came are kept, and the pull goes on from there."""

    code = "fetch-slow"


class FetchBusyError(FetchError):
    """It is not to be had there now, and will be soon."""

    code = "fetch-busy"


class FetchDamagedError(FetchError):
    """A download that was gone on with has not its digest; it was deleted, and is pulled anew."""

    code = "fetch-damaged"


class FetchRefusedError(ArtifactError):
    """The registry does not have it, or does not give it to this device."""

    code = "fetch-refused"


class FetchForbiddenError(FetchRefusedError):
    """It is not given to this device."""

    code = "fetch-forbidden"


class DigestMismatchError(ArtifactError):
    """Bytes do not have the digest or size that the signed document leads to."""

    code = "digest-mismatch"


class StorageError(ArtifactError):
    """The device's disk did not take what was pulled."""

    code = "storage-failed"
    retriable = True


class DiskTooSmallError(StorageError):
    """The device's disk has no room for what is to be pulled beside what it keeps."""

    code = "disk-too-small"


class PullWaitsError(ArtifactError):
    """Pulls may not run now; what is half here is gone on with."""

    code = "pull-waits"
    retriable = True


class PullDeadlineError(ArtifactError):
    """A pull took more time than one may."""

    code = "pull-deadline"


class ImageInvalidError(ArtifactError):
    """An image cannot run here: not for this platform, or not as the specification says."""

    code = "image-invalid"


class LayerRefusedError(ArtifactError):
    """A layer holds what may not be unpacked."""

    code = "layer-refused"


class ExtractionLostError(ArtifactError):
    """The child that unpacks a layer died, or failed in a way that is not the layer's."""

    code = "extraction-lost"
    retriable = True


class RecipeUnusableError(ArtifactError):
    """The tar of a layer cannot be made again from its folder: no delta is applied to it."""

    code = "recipe-unusable"
