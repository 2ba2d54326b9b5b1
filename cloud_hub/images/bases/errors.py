"""How a base is refused."""

from cloud_hub.errors import InvalidInputError


class BaseRefusedError(InvalidInputError):
    """A base is damaged, or in a form that is not read."""

    code = "base-refused"


class BaseUnfitError(BaseRefusedError):
    """A base is a good image, but cannot run the scoring server."""

    code = "base-unfit"


class BasePlatformError(BaseRefusedError):
    """A base is not there for the platform."""

    code = "base-platform"
