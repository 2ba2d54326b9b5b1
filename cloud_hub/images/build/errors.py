"""Everything that can go wrong while an image is built; a closed tree under `BuildError`."""

from contract.errors import HeadlandError


class BuildError(HeadlandError):
    """An image could not be built; root of this package's errors."""

    code = "image-build-failed"


class BuildCancelledError(BuildError):
    """Somebody asked for the build to stop, and it did; nothing is left in the work folder."""

    code = "image-build-cancelled"


class OptionRefusedError(BuildError):
    """What was chosen of a build is not possible, or not here."""

    code = "image-option-refused"


class HostRuntimeError(BuildError):
    """The Python or the shared libraries of this machine cannot become a base layer."""

    code = "image-base-unusable"


class ModelChangedError(BuildError):
    """A file is not, or is no longer, the one that its digest names."""

    code = "image-input-changed"


class ScriptRefusedError(BuildError):
    """The scoring script is too large or is not Python."""

    code = "scoring-script-refused"


class WheelDownloadError(BuildError):
    """pip could not fetch the Python dependencies; a later try may work."""

    code = "wheel-download-failed"
    retriable = True


class WheelRefusedError(BuildError):
    """A wheel is damaged, or holds what must never be unpacked."""

    code = "wheel-refused"


class RequirementsRefusedError(BuildError):
    """The list of Python dependencies cannot be read, or asks for what an image cannot have."""

    code = "requirements-refused"


class RequirementsUnresolvedError(BuildError):
    """pip found no set of wheels that satisfies the Python dependencies on a platform."""

    code = "requirements-unresolved"


class SourceBuildUnavailableError(BuildError):
    """A package has to be built from source, and this machine makes no sandbox to do it in."""

    code = "source-build-unavailable"


class SourceBuildRefusedError(BuildError):
    """What would be built from source, or was, is not what may go into the image."""

    code = "source-build-refused"


class SourceBuildFailedError(BuildError):
    """The build step of a package failed in its sandbox, or was ended there."""

    code = "source-build-failed"


class DebianUnavailableError(BuildError):
    """The machine has no apt, or not Debian's keys, so that the base debian cannot be made."""

    code = "debian-unavailable"


class DebianFetchError(BuildError):
    """Debian's packages could not be fetched, or are not what its signed lists say."""

    code = "debian-fetch-failed"
    retriable = True
