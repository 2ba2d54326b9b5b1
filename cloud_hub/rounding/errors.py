"""Why an update was not rounded; nothing was registered then."""

from contract.errors import HeadlandError


class RoundingError(HeadlandError):
    """Root of these errors."""

    code = "rounding-error"


class RoundingUnavailableError(RoundingError):
    """A library is missing on this machine."""

    code = "rounding-unavailable"


class RoundingModelError(RoundingError):
    """A model is none that can be rounded, or that can be run."""

    code = "rounding-model-refused"


class NoCommonTensorsError(RoundingError):
    """The two models have no float32 tensor of one name."""

    code = "rounding-no-common-tensors"


class ShapesDifferError(RoundingError):
    """The two models have float32 tensors of one name, and none of them has one shape."""

    code = "rounding-shapes-differ"


class SamplesRefusedError(RoundingError):
    """The data set does not fit the model's inputs."""

    code = "rounding-data-refused"


class NotFiniteError(RoundingError):
    """An output on the data set is not a number or infinite, so no change of it can be told."""

    code = "rounding-not-finite"
